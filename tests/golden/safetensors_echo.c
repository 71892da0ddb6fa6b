/* Reads a safetensors file and writes what it read: check_safetensors.py compares the two. */
#include <stdio.h>
#include <stdlib.h>

#include "core/nn/safetensors.h"

int main(int argc, char **argv)
{
    StFile *in = NULL;
    Error err = { 0 };
    Status s;

    if (argc != 3) {
        fprintf(stderr, "usage: safetensors_echo IN OUT\n");
        return 2;
    }
    s = safetensors_open(argv[1], &in, &err);
    if (s == STATUS_OK) {
        size_t count = safetensors_count(in);
        StTensor *tensors = calloc(count + 1, sizeof(*tensors));
        const char *note = safetensors_metadata(in, "note");
        FILE *out = fopen(argv[2], "wb");

        if (!tensors || !out)
            return 2;
        for (size_t i = 0; i < count; i++)
            tensors[i] = *safetensors_at(in, count - 1 - i);
        s = safetensors_write(out, tensors, count, &(StMeta){ "note", note }, note ? 1 : 0, &err);
        if (fclose(out) != 0)
            s = STATUS_IO;
        free(tensors);
    }
    safetensors_close(in);
    if (s != STATUS_OK)
        fprintf(stderr, "safetensors_echo: %s\n", error_message(&err));
    return s == STATUS_OK ? 0 : 1;
}
