/* font -- a small bitmap font, ASCII 32..126. */
#pragma once

#include <stdint.h>

enum { FONT_WIDTH = 5, FONT_HEIGHT = 9 };

/* [FONT_HEIGHT] rows from above, bit 4 the leftmost pixel. Any other character looks like '?'. */
const uint8_t *font_glyph(char c);
