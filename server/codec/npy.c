/* The header is padded with spaces so that the data start at a multiple of 64 bytes, as NumPy
 * writes it. */
#include "server/codec/npy.h"

#include <stdio.h>
#include <string.h>

#include "core/base/checked.h"

enum { NPY_PREFIX = 10, NPY_START = 128 };

Status npy_encode_f32(const float *values, uint32_t height, uint32_t width, Bytes *ret, Error *err)
{
    static const unsigned char magic[NPY_PREFIX] = {
        0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, NPY_START - NPY_PREFIX, 0
    };
    Bytes out = { 0 };
    size_t count;
    int text;

    if (!checked_mul(height, width, &count) || !checked_mul(count, sizeof *values, &count) ||
        !checked_add(count, NPY_START, &out.size) || (out.data = malloc(out.size)) == NULL)
        return error_set(err, STATUS_NO_MEMORY, "no memory for an array of %u x %u", height, width);
    memset(out.data, ' ', NPY_START);
    memcpy(out.data, magic, NPY_PREFIX);
    text = snprintf((char *)out.data + NPY_PREFIX, NPY_START - NPY_PREFIX,
                    "{'descr': '<f4', 'fortran_order': False, 'shape': (%u, %u), }", height, width);
    out.data[NPY_PREFIX + text] = ' ';
    out.data[NPY_START - 1] = '\n';
    if (count > 0)
        memcpy(out.data + NPY_START, values, count);
    *ret = out;
    return STATUS_OK;
}
