/*
 * real -- the number type of the compute core.
 *
 * The product computes in float. Tests build kernels, operations, graphs and models a second time
 * with LEASED_REAL64, as the double-precision reference that finite differences and error bounds
 * stand on.
 */
#pragma once

#include <math.h>

#ifdef LEASED_REAL64
typedef double real;
#define real_exp exp
#define real_erf erf
#define real_sqrt sqrt
#define real_abs fabs
#define real_max fmax
#else
typedef float real;
#define real_exp expf
#define real_erf erff
#define real_sqrt sqrtf
#define real_abs fabsf
#define real_max fmaxf
#endif
