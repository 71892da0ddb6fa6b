/* The batch on which the eigenvalue is measured, always the same: the first images of `val`, as
 * they are. */
#include <string.h>

#include "core/search/searcher.h"

/* Everything is 0 bytes where nothing is measured. */
size_t curvature_layout(Search *s, Arena *arena)
{
    const Trainer *t = s->trainer;
    const size_t count = s->spec.train.batch_size, numbers = s->architect.count * sizeof(double),
                 image = (size_t)t->network.input.height * t->network.input.width *
                         t->network.input.channels;
    Curvature *c = &s->curvature;
    const struct {
        void *place;
        size_t bytes;
    } rows[] = {
        { &c->images, count * image * sizeof *c->images },
        { &c->targets, count * t->network.input.classes * sizeof *c->targets },
        { &c->labels, count * sizeof *c->labels },
        { &c->items, count * sizeof *c->items },
        { &c->scratch, loader_scratch_bytes(&t->loader, (uint32_t)count) },
        { &c->room.origin, numbers },
        { &c->room.moved, numbers },
        { &c->room.v, numbers },
        { &c->room.image, numbers },
    };
    size_t bytes = 0;

    for (size_t i = 0; i < sizeof rows / sizeof *rows && search_measures(s); i++) {
        bytes += arena_round(rows[i].bytes);
        if (arena != NULL) {
            void *memory = arena_take(arena, rows[i].bytes);

            memcpy(rows[i].place, &memory, sizeof memory);
        }
    }
    return bytes;
}

static void load_batch(Search *s)
{
    Curvature *c = &s->curvature;
    BatchSpec spec = { .split = SPLIT_VAL,
                       .items = c->items,
                       .count = s->spec.train.batch_size,
                       .scratch = c->scratch };

    for (uint32_t i = 0; i < spec.count; i++)
        c->items[i] = i;
    loader_batch(&s->trainer->loader, s->pool, &spec, c->images, c->labels, c->targets);
    c->batch = (Batch){
        .count = spec.count, .images = c->images, .labels = c->labels, .targets = c->targets
    };
}

Status curvature_measure(Search *s, const atomic_int *stop, double *ret, Error *err)
{
    const RunContext context = search_context(s, SIDE_ARCHITECTURE);

    load_batch(s);
    return eigenvalue_of_architecture(&s->architect, &context, &s->curvature.batch,
                                      &s->curvature.room, s->spec.train.seed, stop, ret, err);
}
