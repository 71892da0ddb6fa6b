/*
 * Any bytes are a file of maps or are refused with a message. All numbers of what was read are
 * finite, and it survives being written and read again.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/explain/map_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void require(int holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "fuzz_maps: %s\n", what);
        abort();
    }
}

static void touch(const MapSet *set)
{
    size_t numbers = set->shape.images > 0 ? mapset_image_numbers(&set->shape) : 0;
    float *maps = malloc((numbers + 1) * sizeof *maps);

    require(maps != NULL, "out of memory");
    for (uint32_t i = 0; i < set->shape.images; i++) {
        mapset_get(set, i, maps);
        for (size_t k = 0; k < numbers; k++)
            require(isfinite(maps[k]), "a number is not finite");
    }
    free(maps);
}

static void write_and_read_again(const MapFile *file)
{
    char *bytes = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&bytes, &size);
    MapFile again = { 0 };

    require(stream != NULL, "out of memory");
    require(map_file_write(stream, &file->set, file->split, NULL, 0, NULL) == STATUS_OK,
            "what was read is not written");
    fclose(stream);
    require(map_file_parse(bytes, size, &again, NULL) == STATUS_OK, "what was written is not read");
    require(memcmp(&again.set.shape, &file->set.shape, sizeof file->set.shape) == 0 &&
                again.split == file->split,
            "the shape or the split changed");
    map_file_close(&again);
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    MapFile file = { 0 };
    Error err = { 0 };

    if (map_file_parse(bytes, size, &file, &err) == STATUS_OK) {
        touch(&file.set);
        write_and_read_again(&file);
        map_file_close(&file);
    } else {
        require(err.status == STATUS_CORRUPT && error_message(&err)[0] != '\0',
                "refused without saying why");
    }
    return 0;
}
