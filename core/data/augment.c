/* The table comes from the list in meson.build, which also names the sources: a row and its file
 * cannot part. */
#include "core/data/augment.h"

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
