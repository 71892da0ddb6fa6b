/* Integer arithmetic throughout, so that compilers and machines cannot disagree; sines come from a
 * table. */
#include "core/data/shapes_forms.h"

#include <stdlib.h>

int sine(uint32_t angle)
{
    static const int quarter[TURN / 4 + 1] = { 0,     1606,  3196,  4756,  6270,  7723,
                                               9102,  10394, 11585, 12665, 13623, 14449,
                                               15137, 15679, 16069, 16305, 16384 };
    uint32_t a = angle % (TURN / 2);
    int value = quarter[a <= TURN / 4 ? a : TURN / 2 - a];

    return angle % TURN < TURN / 2 ? value : -value;
}

int cosine(uint32_t angle)
{
    return sine(angle + TURN / 4);
}

int between(Rng *rng, int low, int high)
{
    return low + (int)rng_below(rng, (uint32_t)(high - low + 1));
}

/* ---- Outlines ---- */

bool outline_disc(int u, int v)
{
    return within(u, v, 850);
}

bool outline_ring(int u, int v)
{
    return within(u, v, 980) && !within(u, v, 520);
}

bool outline_square(int u, int v)
{
    return abs(u) <= 760 && abs(v) <= 760;
}

bool outline_triangle(int u, int v)
{
    return v <= 620 && 7 * abs(u) <= 4 * (v + 1150);
}

/* A pentagram is what lies beyond at most one of its five lines. */
bool outline_star(int u, int v)
{
    static const int normal[5][2] = {
        { 0, 1024 }, { 974, 316 }, { 602, -828 }, { -602, -828 }, { -974, 316 }
    };
    int beyond = 0;

    for (int i = 0; i < 5; i++)
        beyond += u * normal[i][0] + v * normal[i][1] > 410 * 1024;
    return beyond <= 1 && within(u, v, 1250);
}

bool outline_cross(int u, int v)
{
    return (abs(u) <= 300 && abs(v) <= 1000) || (abs(v) <= 300 && abs(u) <= 1000);
}

/* A square on its corner and a half disc on each upper side. */
bool outline_heart(int u, int v)
{
    return abs(u) + abs(v) <= 740 || within(abs(u) - 370, v + 370, 523);
}

bool outline_crescent(int u, int v)
{
    return within(u, v, 1060) && !within(u - 460, v, 840);
}

/* Scraps. */
static bool blob(int u, int v)
{
    return within(u, 2 * v, 1000);
}

static bool bar(int u, int v)
{
    return abs(u) <= 1000 && abs(v) <= 260;
}

static bool half(int u, int v)
{
    return v >= 0 && within(u, v, 1000);
}

Outline *const outline_scraps[SCRAPS] = { blob, bar, half };

/* ---- Patterns: kinds see coordinates of a rotated and shifted plane ---- */

static int ramp_at(const Pattern *p, int a, int b)
{
    int share = 128 + a / 5;

    (void)p;
    (void)b;
    return share < 0 ? 0 : share > 256 ? 256 : share;
}

/* Value noise: a lattice of random bytes, a point every 4 pixels, blended bilinearly. */
static int clouds_at(const Pattern *p, int a, int b)
{
    int x = (a >> 2) & 511, y = (b >> 2) & 511; /* 64 a lattice cell, 8 cells */
    int i = x >> 6, j = y >> 6, fx = x & 63, fy = y & 63;
    int top = p->lattice[j][i] * (64 - fx) + p->lattice[j][i + 1] * fx;
    int bottom = p->lattice[j + 1][i] * (64 - fx) + p->lattice[j + 1][i + 1] * fx;

    return (top * (64 - fy) + bottom * fy) >> 12;
}

/* Offset from the middle of the cell that `a` lies in. */
static int in_cell(int a, int width)
{
    return (a + (1 << 16) * width) % width - width / 2;
}

static int dots_at(const Pattern *p, int a, int b)
{
    return within(in_cell(a, p->width * 2), in_cell(b, p->width * 2), p->width * 4 / 5) ? 256 : 0;
}

static int stripes_at(const Pattern *p, int a, int b)
{
    (void)b;
    return in_cell(a, 2 * p->width) < 0 ? 256 : 0;
}

static int checks_at(const Pattern *p, int a, int b)
{
    return (in_cell(a, 2 * p->width) < 0) == (in_cell(b, 2 * p->width) < 0) ? 256 : 0;
}

/* In the order of the bits. */
static int (*const pattern_kinds[PATTERNS])(const Pattern *, int, int) = {
    ramp_at, clouds_at, dots_at, stripes_at, checks_at,
};

int pattern_at(const Pattern *p, int x, int y)
{
    int a = ((x - 16 * UNIT) * p->cos + (y - 16 * UNIT) * p->sin) >> 14;
    int b = ((y - 16 * UNIT) * p->cos - (x - 16 * UNIT) * p->sin) >> 14;

    return pattern_kinds[p->kind](p, a + p->phase[0], b + p->phase[1]);
}

void pattern_draw(Pattern *p, Rng *rng, uint32_t allowed, int width_low, int width_high)
{
    uint32_t angle = rng_below(rng, TURN);
    uint32_t nth = rng_below(rng, (uint32_t)__builtin_popcount(allowed));

    while (nth-- > 0)
        allowed &= allowed - 1;
    p->kind = (uint32_t)__builtin_ctz(allowed);
    p->sin = sine(angle);
    p->cos = cosine(angle);
    p->width = between(rng, width_low, width_high);
    for (int i = 0; i < 2; i++)
        p->phase[i] = between(rng, -2 * UNIT, 2 * UNIT);
    for (int i = 0; i < LATTICE; i++)
        for (int j = 0; j < LATTICE; j++)
            p->lattice[i][j] = (uint8_t)(rng_u32(rng) >> 24);
}
