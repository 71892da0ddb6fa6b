/*
 * shapes_forms -- what the images of "shapes" are made of: outlines and two-coloured patterns.
 * Internal to shapes.c.
 *
 * Lengths on the image are in 1/64 pixel. An outline lives in its own frame, where 1024 is the
 * object's radius and v points down. Angles are in 1/64 turns.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/rng.h"

enum { UNIT = 64, TURN = 64, LATTICE = 9 };

/* 16384 times the sine and cosine. */
int sine(uint32_t angle);
int cosine(uint32_t angle);

/* Uniform in low..high. */
int between(Rng *rng, int low, int high);

/* Is (u, v) no farther than `radius` from (0, 0)? */
static inline bool within(int u, int v, int radius)
{
    return u * u + v * v <= radius * radius;
}

/* Is (u, v) inside? The objects have about the same area, so that size tells nothing. */
typedef bool Outline(int u, int v);
Outline outline_disc, outline_ring, outline_square, outline_triangle, outline_star, outline_cross,
    outline_heart, outline_crescent;

/* Scraps, which are no objects. */
enum { SCRAPS = 3 };
extern Outline *const outline_scraps[SCRAPS];

/* The kinds of pattern, as a set. */
enum { RAMP = 1 << 0, CLOUDS = 1 << 1, DOTS = 1 << 2, STRIPES = 1 << 3, CHECKS = 1 << 4 };
enum { PATTERNS = 5, ANY_PATTERN = (1 << PATTERNS) - 1 };

typedef struct Pattern {
    uint32_t kind; /* number of the kind's bit */
    int sin, cos;
    int width; /* of a stripe, a check, a dot's cell */
    int phase[2];
    uint8_t lattice[LATTICE][LATTICE];
} Pattern;

/* One of the kinds in `allowed`, in any direction. */
void pattern_draw(Pattern *pattern, Rng *rng, uint32_t allowed, int width_low, int width_high);
/* The share of the second colour at (x, y), 0..256. */
int pattern_at(const Pattern *pattern, int x, int y);
