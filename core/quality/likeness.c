/* Ranks are exact (halves of integers), sums are doubles in the order of the pixels. */
#include "core/quality/likeness.h"

#include <math.h>

#include "core/quality/saliency.h"

static void ranks_of(const float *map, size_t count, uint64_t *keys, double *ret)
{
    for (size_t i = 0; i < count; i++)
        keys[i] = (uint64_t)order_bits(map[i]) << 32 | i;
    sort_keys(keys, count);
    for (size_t first = 0, end; first < count; first = end) {
        for (end = first; end < count && keys[end] >> 32 == keys[first] >> 32; end++)
            ;
        for (size_t i = first; i < end; i++)
            ret[(uint32_t)keys[i]] = (double)(first + end - 1) / 2;
    }
}

double likeness_spearman(const float *a, const float *b, size_t count, double *room)
{
    double *rank_a = room, *rank_b = room + count;
    double mean = (double)(count - 1) / 2, aa = 0, bb = 0, ab = 0;

    ranks_of(a, count, (uint64_t *)(void *)(room + 2 * count), rank_a);
    ranks_of(b, count, (uint64_t *)(void *)(room + 2 * count), rank_b);
    for (size_t i = 0; i < count; i++) {
        aa += (rank_a[i] - mean) * (rank_a[i] - mean);
        bb += (rank_b[i] - mean) * (rank_b[i] - mean);
        ab += (rank_a[i] - mean) * (rank_b[i] - mean);
    }
    if (aa == 0 || bb == 0)
        return aa == bb;
    return ab / sqrt(aa * bb);
}

enum { RADIUS = 5 };
static const double sigma = 1.5, c1 = 0.01 * 0.01, c2 = 0.03 * 0.03;

/* Weighted sums over one window: of the weights, a, b, a^2, b^2, ab. */
typedef struct Moments {
    double n, a, b, aa, bb, ab;
} Moments;

static Moments moments_at(uint32_t h, uint32_t w, const float *a, const float *b, uint32_t y,
                          uint32_t x, const double *gauss)
{
    Moments m = { 0 };

    for (int dy = -RADIUS; dy <= RADIUS; dy++) {
        for (int dx = -RADIUS; dx <= RADIUS; dx++) {
            int64_t yy = (int64_t)y + dy, xx = (int64_t)x + dx;
            double g = gauss[dy + RADIUS] * gauss[dx + RADIUS], u, v;

            if (yy < 0 || xx < 0 || yy >= h || xx >= w)
                continue;
            u = (double)a[yy * w + xx];
            v = (double)b[yy * w + xx];
            m.n += g;
            m.a += g * u;
            m.b += g * v;
            m.aa += g * u * u;
            m.bb += g * v * v;
            m.ab += g * u * v;
        }
    }
    return m;
}

double likeness_ssim(uint32_t h, uint32_t w, const float *a, const float *b)
{
    double gauss[2 * RADIUS + 1], sum = 0;

    for (int d = -RADIUS; d <= RADIUS; d++)
        gauss[d + RADIUS] = exp(-d * d / (2 * sigma * sigma));
    for (uint32_t y = 0; y < h; y++) {
        for (uint32_t x = 0; x < w; x++) {
            Moments m = moments_at(h, w, a, b, y, x, gauss);
            double ma = m.a / m.n, mb = m.b / m.n;
            double va = m.aa / m.n - ma * ma, vb = m.bb / m.n - mb * mb, cov = m.ab / m.n - ma * mb;

            sum +=
                (2 * ma * mb + c1) * (2 * cov + c2) / ((ma * ma + mb * mb + c1) * (va + vb + c2));
        }
    }
    return sum / ((double)h * w);
}
