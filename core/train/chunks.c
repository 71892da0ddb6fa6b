/* Two passes over the weights: one counts, one writes. */
#include <stdlib.h>

#include "core/train/optimizer.h"

enum { CHUNK_NUMBERS = 65536 };

Status chunks_cut(const Graph *graph, WeightRole role, ChunkGroup *group, const void *context,
                  WeightChunk **ret, size_t *ret_count, Error *err)
{
    WeightChunk *chunk = NULL;
    size_t count = 0;

    for (int pass = 0; pass < 2; pass++) {
        count = 0;
        for (uint32_t i = 0; i < graph->weights; i++) {
            const GraphWeight *w = &graph->weight[i];

            for (size_t at = 0; at < w->count && w->spec.role == role; at += CHUNK_NUMBERS) {
                size_t rest = w->count - at;

                if (pass == 1)
                    chunk[count] =
                        (WeightChunk){ w->offset + at, rest < CHUNK_NUMBERS ? rest : CHUNK_NUMBERS,
                                       group == NULL ? 0 : group(context, w) };
                count++;
            }
        }
        if (pass == 0) {
            chunk = calloc(count + 1, sizeof *chunk);
            if (chunk == NULL)
                return error_set(err, STATUS_NO_MEMORY, "cannot allocate the weights' chunks");
        }
    }
    *ret = chunk;
    *ret_count = count;
    return STATUS_OK;
}
