/* golden -- what the golden tests share: PyTorch's arrays, its order of numbers and ours, and the
 * distance of two arrays. */
#pragma once

#include "tests/unit/test.h"

#include "core/base/shape.h"
#include "core/nn/safetensors.h"
#include "core/ops/op.h"

/* arrays/NAME.safetensors of this folder (GOLDEN_DIR in the environment says where it is); fails
 * the test where there is none. */
StFile *golden_open(const char *name);
/* The array, of `count` numbers; fails the test otherwise. */
const float *golden_array(const StFile *file, const char *name, size_t count);
/* A number that the script left in the file's metadata. */
uint32_t golden_number(const StFile *file, const char *key);
/* Opens a text file of this folder. */
FILE *golden_text(const char *name);

/* An activation [N,H,W,C] (or [N,C]) between PyTorch's order, [N,C,H,W], and the blocked layout. */
void golden_to_blocked(const Shape *s, const float *from, real *to);
void golden_from_blocked(const Shape *s, const real *from, real *to);
/* A weight between PyTorch's order, its `shape`, and memory. */
void golden_to_memory(const OpWeight *w, const float *from, real *to);
void golden_from_memory(const OpWeight *w, const real *from, real *to);

/* |got - want| / |want| in L2 over got[0], got[every], ...; `count` numbers of `want`. NaN is
 * infinitely far. */
double golden_distance(const real *got, const float *want, size_t count, size_t every);
/* Fails the test, naming `what`, where the distance exceeds the bound. */
void golden_close(const char *what, const real *got, const float *want, size_t count, size_t every,
                  double bound);
