/*
 * Any bytes as a PNG; fuzz_image.h says what must hold. Each chunk has a checksum, so that hardly
 * any mutation would get past the first one: they are made right first, in three runs of four.
 */
#include "tests/fuzz/fuzz_image.h"

static uint32_t crc32_of(const uint8_t *bytes, size_t size)
{
    uint32_t crc = ~0u;

    while (size-- > 0) {
        crc ^= *bytes++;
        for (int i = 0; i < 8; i++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return ~crc;
}

/* Chunks: length, four letters, data, checksum of letters and data. */
static void mend(uint8_t *png, size_t size)
{
    size_t at = 8;

    while (at + 12 <= size) {
        size_t length = (size_t)png[at] << 24 | (size_t)png[at + 1] << 16 |
                        (size_t)png[at + 2] << 8 | png[at + 3];
        uint32_t crc;

        if (length > size - at - 12)
            return;
        crc = crc32_of(png + at + 4, length + 4);
        at += 8 + length;
        for (int i = 0; i < 4; i++)
            png[at++] = (uint8_t)(crc >> (24 - 8 * i));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    uint8_t *copy = fuzz_copy(bytes, size, "\x89PNG\r\n\x1a\n", 8);
    int answer;

    if (size % 4 != 0)
        mend(copy, size);
    answer = fuzz_image(copy, size);
    free(copy);
    return answer;
}
