/*
 * eigencam -- Eigen-CAM: the projection of the activation, X [HW,C] less each channel's mean, on
 * its first right singular vector. Muhammad and Yeasin, IJCNN 2020. It knows no class. A singular
 * vector has no sign: the map is turned so that its largest value is no smaller than its smallest
 * is below zero.
 *
 * The vector is found by Lanczos' method on X^T X (or X X^T, whichever is smaller), in double, with
 * full reorthogonalisation, from a start that does not depend on the image: STEPS products with X
 * and its transpose, then the eigenvectors of a small tridiagonal matrix. That converges as a
 * Chebyshev polynomial does, where a power iteration would crawl between two values that lie close.
 */
#include "core/base/rng.h"
#include "core/explain/cam_rows.h"
#include "core/kernels/eigen.h"

enum { STEPS = 48 };
static const double tiny = 1e-13; /* of the largest value: nothing is left of the Krylov space */

/* The problem, and where its room is cut. */
typedef struct Lanczos {
    size_t pixels, channels, n, m; /* n: the smaller side; m: steps */
    double *x;                     /* [pixels,channels] */
    double *basis, *next, *other;  /* [m,n], [n], [the larger side] */
    double *alpha, *beta;          /* [m]: diagonal and what is above it */
    double *small, *values, *vectors;
} Lanczos;

static Lanczos cut(uint32_t height, uint32_t width, uint32_t channels, double *room,
                   size_t *ret_count)
{
    Lanczos l = { .pixels = (size_t)height * width, .channels = channels };
    size_t large = l.pixels > channels ? l.pixels : channels, at = 0;

    l.n = l.pixels < channels ? l.pixels : channels;
    l.m = l.n < STEPS ? l.n : STEPS;
    {
        double **part[] = { &l.x,    &l.basis, &l.next,   &l.other,  &l.alpha,
                            &l.beta, &l.small, &l.values, &l.vectors };
        const size_t count[] = { l.pixels * channels, l.m * l.n, l.n,      large, l.m, l.m,
                                 l.m * l.m,           l.m,       l.m * l.m };

        for (size_t i = 0; i < sizeof part / sizeof *part; i++) {
            *part[i] = room == NULL ? NULL : room + at;
            at += count[i];
        }
    }
    *ret_count = at;
    return l;
}

static size_t eigencam_room(uint32_t height, uint32_t width, uint32_t channels)
{
    size_t count;

    (void)cut(height, width, channels, NULL, &count);
    return count;
}

/* Whether all of it is finite. */
static bool centre(const CamInput *in, double *x)
{
    size_t pixels = cam_pixels(in), c = in->channels;

    for (size_t k = 0; k < c; k++) {
        double mean = 0;

        for (size_t p = 0; p < pixels; p++)
            mean += (double)in->activation[p * c + k] / (double)pixels;
        if (!isfinite((float)mean))
            return false;
        for (size_t p = 0; p < pixels; p++) {
            x[p * c + k] = (double)in->activation[p * c + k] - mean;
            if (!isfinite(x[p * c + k]))
                return false;
        }
    }
    return true;
}

/* ret [pixels] = X v. */
static void times(const Lanczos *l, const double *v, double *ret)
{
    for (size_t p = 0; p < l->pixels; p++) {
        ret[p] = 0;
        for (size_t k = 0; k < l->channels; k++)
            ret[p] += l->x[p * l->channels + k] * v[k];
    }
}

/* ret [channels] = X^T u. */
static void times_turned(const Lanczos *l, const double *u, double *ret)
{
    memset(ret, 0, l->channels * sizeof *ret);
    for (size_t p = 0; p < l->pixels; p++)
        for (size_t k = 0; k < l->channels; k++)
            ret[k] += l->x[p * l->channels + k] * u[p];
}

static void square_times(const Lanczos *l, const double *v, double *ret)
{
    if (l->n == l->channels) {
        times(l, v, l->other);
        times_turned(l, l->other, ret);
    } else {
        times_turned(l, v, l->other);
        times(l, l->other, ret);
    }
}

static double dot(size_t n, const double *a, const double *b)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

static void scale_to(size_t n, const double *from, double norm, double *ret)
{
    for (size_t i = 0; i < n; i++)
        ret[i] = from[i] / norm;
}

/* Twice is enough: the second time takes out what the first one's rounding left. */
static void reorthogonalise(const Lanczos *l, size_t vectors)
{
    for (int times_ = 0; times_ < 2; times_++)
        for (size_t j = 0; j < vectors; j++) {
            double along = dot(l->n, l->basis + j * l->n, l->next);

            for (size_t i = 0; i < l->n; i++)
                l->next[i] -= along * l->basis[j * l->n + i];
        }
}

/* Fills basis, alpha and beta; how many steps there was anything left for. */
static size_t build_basis(const Lanczos *l)
{
    Rng rng = rng_at(0, RNG_EXPLAIN, UINT32_MAX, 0);
    double norm, largest = 0;

    for (size_t i = 0; i < l->n; i++)
        l->next[i] = (double)rng_normal(&rng);
    norm = sqrt(dot(l->n, l->next, l->next));
    for (size_t j = 0; j < l->m; j++) {
        scale_to(l->n, l->next, norm, l->basis + j * l->n);
        square_times(l, l->basis + j * l->n, l->next);
        l->alpha[j] = dot(l->n, l->basis + j * l->n, l->next);
        reorthogonalise(l, j + 1);
        l->beta[j] = norm = sqrt(dot(l->n, l->next, l->next));
        largest = fmax(largest, fmax(l->alpha[j], norm));
        if (norm <= tiny * largest)
            return j + 1;
    }
    return l->m;
}

/* The eigenvector [n] of the largest eigenvalue, of which nothing but its direction matters. */
static void first_vector(const Lanczos *l, size_t steps, double *ret)
{
    memset(l->small, 0, steps * steps * sizeof *l->small);
    for (size_t j = 0; j < steps; j++) {
        l->small[j * steps + j] = l->alpha[j];
        if (j + 1 < steps)
            l->small[j * steps + j + 1] = l->small[(j + 1) * steps + j] = l->beta[j];
    }
    eigen_symmetric(steps, l->small, l->values, l->vectors);
    memset(ret, 0, l->n * sizeof *ret);
    for (size_t j = 0; j < steps; j++)
        for (size_t i = 0; i < l->n; i++)
            ret[i] += l->vectors[j] * l->basis[j * l->n + i];
}

/* X v for the first right singular vector v; from u = X v/|X v| it is |X^T u| u. */
static const double *project(const Lanczos *l)
{
    first_vector(l, build_basis(l), l->next);
    if (l->n == l->channels) {
        times(l, l->next, l->other);
        return l->other;
    }
    times_turned(l, l->next, l->other);
    scale_to(l->n, l->next, 1 / sqrt(dot(l->channels, l->other, l->other)), l->basis);
    return l->basis;
}

static void eigencam_compute(const CamInput *in, float *ret)
{
    size_t pixels = cam_pixels(in), count;
    Lanczos l = cut(in->height, in->width, in->channels, in->room, &count);
    const double *map;
    double low = 0, high = 0;

    memset(ret, 0, pixels * sizeof *ret);
    if (!centre(in, l.x) || dot(pixels * in->channels, l.x, l.x) == 0)
        return;
    map = project(&l);
    for (size_t p = 0; p < pixels; p++) {
        low = fmin(low, map[p]);
        high = fmax(high, map[p]);
    }
    for (size_t p = 0; p < pixels; p++)
        ret[p] = (float)(-low > high ? -map[p] : map[p]);
}

extern const Cam cam_eigencam;
const Cam cam_eigencam = {
    .described = { .name = "eigencam",
                   .summary = "Eigen-CAM: the activation's first principal component, no class" },
    .needs = CAM_CLASSLESS,
    .compute = eigencam_compute,
    .room = eigencam_room,
};
