/* eigen -- eigenvalues and eigenvectors of a small symmetric matrix, in double. */
#pragma once

#include <stddef.h>

/*
 * a [n,n], row-major, symmetric and finite, is destroyed. values [n] fall; row i of vectors [n,n]
 * is the unit eigenvector of values[i], with its largest component (the first of those) positive.
 * The cyclic Jacobi method: exact to a few rounding errors of the largest eigenvalue; n^3 work,
 * meant for n up to about 100.
 */
void eigen_symmetric(size_t n, double *a, double *values, double *vectors);
