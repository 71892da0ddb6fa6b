/* Any bytes as a JPEG; fuzz_image.h says what must hold. */
#include "tests/fuzz/fuzz_image.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    uint8_t *copy = fuzz_copy(bytes, size, "\xff\xd8\xff", 3);
    int answer = fuzz_image(copy, size);

    free(copy);
    return answer;
}
