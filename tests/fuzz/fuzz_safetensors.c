/*
 * Any bytes are a safetensors file or are refused with a message. What was read is touched to its
 * last byte and, where our writer allows its contents, survives being written and read again.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/nn/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void require(int holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "fuzz_safetensors: %s\n", what);
        abort();
    }
}

static size_t data_bytes(const StTensor *tensor)
{
    return tensor->count * (tensor->dtype == ST_F16 ? 2 : tensor->dtype == ST_F32 ? 4 : 8);
}

static void write_and_read_again(const StFile *file)
{
    size_t count = safetensors_count(file), size = 0;
    StTensor *tensors = calloc(count + 1, sizeof(*tensors));
    char *bytes = NULL;
    FILE *stream = open_memstream(&bytes, &size);
    StFile *again = NULL;

    require(tensors && stream, "out of memory");
    for (size_t i = 0; i < count; i++)
        tensors[count - 1 - i] = *safetensors_at(file, i);
    require(safetensors_write(stream, tensors, count, NULL, 0, NULL) == STATUS_OK,
            "what was read is not written");
    fclose(stream);
    require(safetensors_parse(bytes, size, &again, NULL) == STATUS_OK,
            "what was written is not read");
    require(safetensors_count(again) == count, "the count changed");
    for (size_t i = 0; i < count; i++) {
        const StTensor *a = safetensors_at(file, i), *b = safetensors_find(again, a->name);

        require(b && b->dtype == a->dtype && b->rank == a->rank && b->count == a->count,
                "a tensor changed");
        require(memcmp(a->data, b->data, data_bytes(a)) == 0, "data changed");
    }
    safetensors_close(again);
    free(bytes);
    free(tensors);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    StFile *file = NULL;
    Error err = { 0 };

    if (safetensors_parse(bytes, size, &file, &err) == STATUS_OK) {
        write_and_read_again(file);
        safetensors_close(file);
    } else {
        require(err.status == STATUS_CORRUPT && error_message(&err)[0] != '\0',
                "refused without saying why");
    }
    return 0;
}
