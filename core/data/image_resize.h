/*
 * image_resize -- an image of any size -> a square one, as folder data sets are usually prepared:
 * scaled until the shorter side is `size` (torchvision's Resize), then the middle square
 * (CenterCrop).
 *
 * The filter is bilinear with antialiasing: a triangle as wide as two source pixels when enlarging
 * and two result pixels when shrinking (PIL's BILINEAR; torchvision with antialias=True). An image
 * that has the size already is copied.
 */
#pragma once

#include "core/data/image_decode.h"

/* ret_pixels: [size,size,3], size > 0; the image has pixels. STATUS_NO_MEMORY. Any thread. */
CHECKED Status image_square(const Image *image, uint32_t size, uint8_t *ret_pixels, Error *err);
