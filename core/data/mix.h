/*
 * mix -- pairs of images made one: drawing how, and doing it (mixup: Zhang et al., ICLR 2018;
 * CutMix: Yun et al., ICCV 2019).
 *
 * Everything is drawn once for a batch, from streams keyed by (seed, step, position of the row in
 * the list of augmentations). Functions on plain memory; any thread may call them.
 */
#pragma once

#include "core/data/augment.h"

/*
 * The mixing of a batch of `count` images in one step: the first of the listed rows that is active
 * fills *ret, and ret_partner[count] becomes a permutation: image i is mixed with image
 * ret_partner[i] (perhaps itself). False, with nothing written: this step does not mix.
 */
bool mix_draw(const Choice *augment, uint32_t augments, uint64_t seed, uint32_t step,
              ImageSize size, uint32_t count, Mix *ret, uint32_t *ret_partner);

/* image [H,W,C] = own * image + (1 - own) * partner, or the partner's box pasted into it. */
void mix_images(const Mix *mix, ImageSize size, float *image, const float *partner);

/* A draw from Beta(a, a), a > 0. */
double mix_beta(Rng *rng, double a);
