/*
 * Jacobi rotations in the order of the rows, each of which makes one element off the diagonal 0
 * (Golub and Van Loan, Matrix Computations, 8.5), until what is left of them is nothing beside the
 * diagonal. Convergence is quadratic; a handful of sweeps do.
 */
#include "core/kernels/eigen.h"

#include <math.h>

enum { SWEEPS_MAX = 64 };

static double off_diagonal(size_t n, const double *a)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        for (size_t k = i + 1; k < n; k++)
            sum += a[i * n + k] * a[i * n + k];
    return sum;
}

/* x, y := c x - s y, s x + c y, on two vectors of n numbers `step` apart. */
static void rotate(size_t n, size_t step, double c, double s, double *x, double *y)
{
    for (size_t i = 0; i < n; i++) {
        double p = x[i * step], q = y[i * step];

        x[i * step] = c * p - s * q;
        y[i * step] = s * p + c * q;
    }
}

static void annihilate(size_t n, size_t p, size_t q, double *a, double *vectors)
{
    double theta, t, c, s;

    if (a[p * n + q] == 0)
        return;
    theta = (a[q * n + q] - a[p * n + p]) / (2 * a[p * n + q]);
    t = (theta < 0 ? -1 : 1) / (fabs(theta) + hypot(theta, 1));
    c = 1 / hypot(t, 1);
    s = t * c;
    rotate(n, 1, c, s, a + p * n, a + q * n);
    rotate(n, n, c, s, a + p, a + q);
    rotate(n, 1, c, s, vectors + p * n, vectors + q * n);
    a[p * n + q] = a[q * n + p] = 0;
}

static void swap(double *x, double *y)
{
    double z = *x;

    *x = *y;
    *y = z;
}

/* Largest first; equal ones stay in order. */
static void sort(size_t n, double *values, double *vectors)
{
    for (size_t i = 1; i < n; i++)
        for (size_t k = i; k > 0 && values[k - 1] < values[k]; k--) {
            swap(&values[k - 1], &values[k]);
            for (size_t c = 0; c < n; c++)
                swap(&vectors[(k - 1) * n + c], &vectors[k * n + c]);
        }
}

static void fix_sign(size_t n, double *vector)
{
    double sign;
    size_t top = 0;

    for (size_t i = 1; i < n; i++)
        if (fabs(vector[i]) > fabs(vector[top]))
            top = i;
    sign = vector[top] < 0 ? -1 : 1;
    for (size_t i = 0; i < n; i++)
        vector[i] *= sign;
}

void eigen_symmetric(size_t n, double *a, double *values, double *vectors)
{
    double scale = 0;

    for (size_t i = 0; i < n * n; i++) {
        vectors[i] = i % (n + 1) == 0;
        scale += a[i] * a[i];
    }
    for (int sweep = 0; sweep < SWEEPS_MAX && off_diagonal(n, a) > 1e-32 * scale; sweep++)
        for (size_t p = 0; p + 1 < n; p++)
            for (size_t q = p + 1; q < n; q++)
                annihilate(n, p, q, a, vectors);
    for (size_t i = 0; i < n; i++)
        values[i] = a[i * n + i];
    sort(n, values, vectors);
    for (size_t i = 0; i < n; i++)
        fix_sign(n, vectors + i * n);
}
