/* The table comes from the list in meson.build, which also names the sources: a row and its file
 * cannot part. */
#include "core/data/augment.h"

#include <string.h>

#include "core/data/augmentation_table.h"

#define X(name) extern const Augmentation augmentation_##name;
AUGMENTATION_TABLE(X)
#undef X

const Augmentation *const augmentation_table[] = {
#define X(name) &augmentation_##name,
    AUGMENTATION_TABLE(X)
#undef X
        NULL
};

int augmentation_find(const char *name)
{
    for (int i = 0; augmentation_table[i] != NULL; i++)
        if (strcmp(augmentation_table[i]->described.name, name) == 0)
            return i;
    return -1;
}
