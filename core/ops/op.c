/* The table of operations (generated from the list in meson.build) and what several operations
 * share. */
#include "core/ops/op.h"

#include <string.h>

#define OP(name) extern const Op op_##name;
#include "op_table.h"
#undef OP

const Op *const op_table[] = {
#define OP(name) &op_##name,
#include "op_table.h"
#undef OP
    NULL,
};

const Op *op_find(const char *name)
{
    for (size_t i = 0; op_table[i] != NULL; i++)
        if (strcmp(op_table[i]->described.name, name) == 0)
            return op_table[i];
    return NULL;
}

size_t op_unit_rows(size_t c)
{
    size_t rows = 65536 / c;

    return rows > 0 ? rows : 1;
}

size_t op_units(size_t rows, size_t c)
{
    size_t unit = op_unit_rows(c);

    return (rows + unit - 1) / unit;
}

size_t op_rows(const Shape *s)
{
    return s->rank == 0 ? 0 : shape_count(s) / s->dim[s->rank - 1];
}
