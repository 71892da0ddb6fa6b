/*
 * sanity_randomisation -- does the map depend on what the network has learned? Its weights are
 * replaced by random ones, from the top block by block down to the image, batch norms reset as in a
 * new network; each time the map of the same class is compared with the trained network's. The
 * number is |Spearman| when everything is random: passed where its mean is below 0.5. A map that
 * ignores the weights does not change, and has 1.
 * Source: Adebayo et al., "Sanity checks for saliency maps", NeurIPS 2018.
 */
#include <math.h>

#include "core/quality/likeness.h"
#include "core/quality/metric.h"

static void absolute(const float *map, size_t count, float *ret)
{
    for (size_t i = 0; i < count; i++)
        ret[i] = fabsf(map[i]);
}

static void compare(const Picture *p, const Saliency *other, double *room, double ret[LIKENESSES])
{
    const Saliency *mine = &p->saliency;
    size_t count = picture_pixels(p);
    float *a = (float *)(room + LIKENESS_ROOM * count), *b = a + count;

    absolute(mine->signed_map, count, a);
    absolute(other->signed_map, count, b);
    ret[LIKENESS_SPEARMAN] = likeness_spearman(mine->signed_map, other->signed_map, count, room);
    ret[LIKENESS_ABSOLUTE] = likeness_spearman(a, b, count, room);
    ret[LIKENESS_SSIM] = likeness_ssim(p->height, p->width, mine->map, other->map);
}

extern const Metric metric_sanity_randomisation;
const Metric metric_sanity_randomisation = {
    .described = { .name = "sanity_randomisation",
                   .summary = "|Spearman| between the maps of the trained network and of a random "
                              "one: passed below 0.5" },
    .falls = true,
    .compare = compare,
    .passed = 0.5,
};

_Static_assert(LIKENESS_ROOM + 1 <= METRIC_ROOM, "the room that a metric has");
