/* The table of operations (generated from the list in meson.build) and what several operations
 * share. */
#include "core/ops/op.h"

#include "core/ops/op_table.h"

#define X(name) extern const Op op_##name;
OP_TABLE(X)
#undef X

const Op *const op_table[] = {
#define X(name) &op_##name,
    OP_TABLE(X)
#undef X
        NULL,
};

const Op *op_find(const char *name)
{
    int row = table_find(op_table, name);

    return row < 0 ? NULL : op_table[row];
}

Rng op_rng(const OpCall *call, uint32_t image)
{
    return rng_at_node(call->seed, call->node, call->step, image);
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
