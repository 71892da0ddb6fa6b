/*
 * Blocks stand in the order in which the network was built, from the image up; so do their weights,
 * and a block that comes again is still the one it was.
 */
#include "core/quality/cascade.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* The bytes of a name that are its block: the first part, and the number behind it where that part
 * has none ("cells.7", "stem.0", but "layer4"). */
static size_t block_length(const char *name)
{
    size_t first = strcspn(name, "."), second;

    if (name[first] == '\0' || first == 0 || isdigit((unsigned char)name[first - 1]))
        return first;
    second = strcspn(name + first + 1, ".");
    if (second == 0 || strspn(name + first + 1, "0123456789") != second)
        return first;
    return first + 1 + second;
}

/* The block's number from below; a new one where it is not there yet. */
static uint32_t block_find(Cascade *c, const char *name)
{
    size_t length = block_length(name);
    uint32_t i = 0;

    while (i < c->levels && (c->length[i] != length || strncmp(c->name[i], name, length) != 0))
        i++;
    if (i == c->levels) {
        c->name[i] = name;
        c->length[i] = length;
        c->levels++;
    }
    return i;
}

/* The top comes first. */
static void turn_over(Cascade *c)
{
    for (uint32_t i = 0; i < c->graph->weights; i++)
        c->level_of[i] = c->levels - 1 - c->level_of[i];
    for (uint32_t i = 0; i < c->levels / 2; i++) {
        uint32_t k = c->levels - 1 - i;
        const char *name = c->name[i];
        size_t length = c->length[i];

        c->name[i] = c->name[k];
        c->length[i] = c->length[k];
        c->name[k] = name;
        c->length[k] = length;
    }
}

Status cascade_init(Cascade *cascade, const Graph *graph, Error *err)
{
    Cascade c = { .graph = graph };

    c.level_of = calloc(graph->weights + 1, sizeof *c.level_of);
    c.name = calloc(graph->weights + 1, sizeof *c.name);
    c.length = calloc(graph->weights + 1, sizeof *c.length);
    if (c.level_of == NULL || c.name == NULL || c.length == NULL) {
        cascade_clear(&c);
        return error_set(err, STATUS_NO_MEMORY, "cannot allocate a list of blocks");
    }
    for (uint32_t i = 0; i < graph->weights; i++)
        c.level_of[i] = block_find(&c, graph->weight[i].name);
    turn_over(&c);
    *cascade = c;
    return STATUS_OK;
}

void cascade_clear(Cascade *cascade)
{
    free(cascade->level_of);
    free(cascade->name);
    free(cascade->length);
    *cascade = (Cascade){ 0 };
}

void cascade_apply(const Cascade *c, uint32_t level, const real *random, real *weights)
{
    for (uint32_t i = 0; i < c->graph->weights; i++) {
        const GraphWeight *w = &c->graph->weight[i];

        if (c->level_of[i] == level)
            memcpy(weights + w->offset, random + w->offset, w->count * sizeof *weights);
    }
}
