/*
 * Nothing is kept for backward() but x and y: the activation and what the depthwise convolution
 * makes of it are cheaper to compute again than to fetch. The images of a block are taken some at a
 * time, so that a job's activation stays in the second cache, and what the depthwise convolution
 * makes of it, a strip of rows at a time, in the first one until the product; a job is such a group
 * of images, whole, because a row of output needs its neighbours. Jobs go round at most LANES_MAX
 * units, whose sums are their own and are added in the units' order. Working memory is handed from
 * unit to unit, so that no more of it is touched than there are threads; what lies there does not
 * matter, and so neither does who had it before.
 */
#include <assert.h>
#include <stdatomic.h>
#include <string.h>

#include "core/ops/separable_job.h"

enum { LANES_MAX = 16, JOB_NUMBERS = 64, STRIP_ROWS = 256 };
enum { FACTORS = 6 }; /* scale and shift, and those of the blend */

/* Numbers, rounded to a cache line. */
static size_t line(size_t numbers)
{
    const size_t in_line = 64 / sizeof(real);

    return (numbers + in_line - 1) / in_line * in_line;
}

static void cut_memory(SeparableLayout *l)
{
    size_t maps = (size_t)l->strip * l->ow > (size_t)l->in_strip * l->w
                      ? (size_t)l->strip * l->ow
                      : (size_t)l->in_strip * l->w;

    l->act = 0;
    l->maps = l->act + line((size_t)l->act_h * l->act_w * l->t);
    l->grad = l->maps + line(maps * l->t);
    l->weights = l->grad + line((size_t)l->grad_h * l->grad_w * l->t);
    l->factors = l->weights + line(l->taps * l->t);
    l->rows = l->factors + line(FACTORS * l->t);
    l->work = l->rows + line(l->strip * l->ow * l->t);
    l->room = l->work + line((size_t)l->c * (l->c > 3 ? l->c : 3));
    l->depthwise = 0;
    l->pointwise = l->depthwise + l->taps * l->t;
    l->sums = l->pointwise + (size_t)l->c * l->c;
    l->moments = l->sums + 2 * l->t;
    l->lane = line(l->moments + 5 * (size_t)l->c);
}

/* Of the padded gradient: as many as outputs reach, or inputs ask for. */
static uint32_t gradient_side(const SeparableLayout *l, uint32_t in, uint32_t out)
{
    uint32_t asked = (in - 1 + l->padding) / l->stride + 1;

    return l->low + (asked > out ? asked : out);
}

SeparableLayout separable_layout(const Shape *x, uint32_t kernel, uint32_t stride,
                                 uint32_t dilation)
{
    SeparableLayout l = { .n = x->dim[0],
                          .h = x->dim[1],
                          .w = x->dim[2],
                          .c = x->dim[3],
                          .kernel = kernel,
                          .stride = stride,
                          .dilation = dilation };
    uint32_t reach, block = l.n < BLOCK_IMAGES ? l.n : BLOCK_IMAGES;

    assert(block > 0 && l.c > 0); /* as in every graph */
    l.padding = l.kernel / 2 * l.dilation;
    l.taps = l.kernel * l.kernel;
    l.oh = (l.h - 1) / l.stride + 1;
    l.ow = (l.w - 1) / l.stride + 1;
    l.images = JOB_NUMBERS / l.c > 0 ? JOB_NUMBERS / l.c : 1;
    if (l.images > block)
        l.images = block;
    l.jobs_of_block = (block + l.images - 1) / l.images;
    l.jobs = block_count(l.n) * l.jobs_of_block;
    l.lanes = l.jobs < LANES_MAX ? l.jobs : LANES_MAX;
    l.t = (size_t)l.images * l.c;
    reach = (l.kernel - 1) * l.dilation;
    l.act_h = l.h + 2 * l.padding;
    l.act_w = l.w + 2 * l.padding;
    l.low = (reach - l.padding + l.stride - 1) / l.stride;
    l.grad_h = gradient_side(&l, l.h, l.oh);
    l.grad_w = gradient_side(&l, l.w, l.ow);
    l.strip = (STRIP_ROWS + l.ow * l.images - 1) / (l.ow * l.images);
    if (l.strip > l.oh)
        l.strip = l.oh;
    l.in_strip = (STRIP_ROWS + l.w * l.images - 1) / (l.w * l.images);
    l.in_strip = (l.in_strip + l.stride - 1) / l.stride * l.stride;
    cut_memory(&l);
    return l;
}

size_t separable_bytes(const SeparableLayout *l)
{
    return l->lanes * (l->lane * sizeof(double) + l->room * sizeof(real)) +
           line((size_t)l->c * l->c) * sizeof(real);
}

/* ---- Lanes ---- */

double *jobs_lane(const Separable *s, uint32_t lane, size_t at)
{
    return (double *)s->memory + lane * s->l.lane + at;
}

double *jobs_add_lanes(const Separable *s, size_t at, size_t count)
{
    double *sum = jobs_lane(s, 0, at);

    for (uint32_t lane = 1; lane < s->l.lanes; lane++) {
        const double *more = jobs_lane(s, lane, at);

        for (size_t i = 0; i < count; i++)
            sum[i] += more[i];
    }
    return sum;
}

real *jobs_turned(const Separable *s)
{
    return (real *)jobs_lane(s, s->l.lanes, 0) + s->l.lanes * s->l.room;
}

typedef struct LaneRun {
    const Separable *s;
    JobBody *body, *end;
    atomic_uint taken; /* rooms, a bit each */
} LaneRun;

/* The first room that nobody has; no more units run than there are rooms. */
static unsigned take_room(LaneRun *lanes)
{
    for (unsigned room = 0;; room = (room + 1) % lanes->s->l.lanes)
        if ((atomic_fetch_or_explicit(&lanes->taken, 1U << room, memory_order_acquire) >> room &
             1) == 0)
            return room;
}

static void give_room(LaneRun *lanes, unsigned room)
{
    atomic_fetch_and_explicit(&lanes->taken, ~(1U << room), memory_order_release);
}

/* False where a partial block has no such images. */
static bool job_at(const Separable *s, uint32_t lane, unsigned room, size_t number, Job *ret)
{
    const SeparableLayout *l = &s->l;
    uint32_t block = (uint32_t)(number / l->jobs_of_block),
             first = (uint32_t)(number % l->jobs_of_block) * l->images,
             there = block_images(l->n, block);
    size_t begin = (size_t)block * BLOCK_IMAGES * l->c;
    real *numbers = (real *)jobs_lane(s, l->lanes, 0) + room * l->room;

    if (first >= there)
        return false;
    *ret = (Job){ .s = s,
                  .l = l,
                  .kernels = s->call->kernels,
                  .images = there - first < l->images ? there - first : l->images,
                  .nc = (size_t)there * l->c,
                  .in = begin * l->h * l->w + (size_t)first * l->c,
                  .out = begin * l->oh * l->ow + (size_t)first * l->c,
                  .act = numbers + l->act,
                  .maps = numbers + l->maps,
                  .grad = numbers + l->grad,
                  .weights = numbers + l->weights,
                  .factors = numbers + l->factors,
                  .rows = numbers + l->rows,
                  .work = numbers + l->work,
                  .depthwise = jobs_lane(s, lane, l->depthwise),
                  .pointwise = jobs_lane(s, lane, l->pointwise),
                  .sums = jobs_lane(s, lane, l->sums),
                  .moments = jobs_lane(s, lane, l->moments) };
    ret->t = (size_t)ret->images * l->c;
    return true;
}

/* What all jobs of t numbers a pixel share: a tap's weights once an image, and the factors. */
static void lay_weights(const Job *j)
{
    const Separable *s = j->s;

    for (uint32_t tap = 0; tap < j->l->taps; tap++)
        job_repeat(j, s->depthwise + (size_t)tap * j->l->c, j->weights + tap * j->l->t);
    for (int i = 0; i < 2 && s->scale != NULL; i++)
        job_repeat(j, s->scale + (size_t)i * j->l->c, j->factors + (size_t)i * j->t);
    for (int i = 0; i < 4 && s->blend != NULL; i++)
        job_repeat(j, s->blend + (size_t)i * j->l->c, j->factors + (2 + (size_t)i) * j->t);
}

/* Every lanes-th job. */
static void run_lane(void *context, size_t number)
{
    LaneRun *lanes = context;
    const Separable *s = lanes->s;
    const uint32_t lane = (uint32_t)number;
    unsigned room = take_room(lanes);
    size_t t = 0, summed = 0;
    Job job;

    memset(jobs_lane(s, lane, 0), 0, s->l.lane * sizeof(double));
    for (size_t i = number; i < s->l.jobs; i += s->l.lanes) {
        if (!job_at(s, lane, room, i, &job))
            continue;
        if (job.t != t)
            lay_weights(&job);
        t = job.t;
        job.summed = &summed;
        lanes->body(&job);
    }
    if (t > 0 && lanes->end != NULL)
        lanes->end(&job);
    give_room(lanes, room);
}

void jobs_run(const Separable *s, JobBody *body, JobBody *end)
{
    LaneRun lanes = { .s = s, .body = body, .end = end };

    pool_run(s->call->pool, s->l.lanes, run_lane, &lanes);
}

/* ---- Jobs ---- */

void job_repeat(const Job *j, const real *row, real *ret)
{
    for (uint32_t i = 0; i < j->images; i++)
        memcpy(ret + i * j->l->c, row, j->l->c * sizeof *row);
}

void job_border(const Job *j, real *map, size_t all_h, size_t all_w, size_t low, size_t h, size_t w)
{
    size_t row = all_w * j->t, right = all_w - low - w;

    memset(map, 0, low * row * sizeof *map);
    memset(map + (low + h) * row, 0, (all_h - low - h) * row * sizeof *map);
    for (size_t y = low; y < low + h; y++) {
        memset(map + y * row, 0, low * j->t * sizeof *map);
        memset(map + (y * all_w + low + w) * j->t, 0, right * j->t * sizeof *map);
    }
}

real *job_activation(const Job *j)
{
    const SeparableLayout *l = j->l;
    PlaneWindow p = { .t = j->t,
                      .rows = l->h,
                      .cols = l->w,
                      .dst_row = l->act_w * j->t,
                      .dst_col = j->t,
                      .src_row = l->w * j->nc,
                      .src_col = j->nc };
    const real *scale = j->s->scale == NULL ? NULL : j->factors;
    real *inner = j->act + ((size_t)l->padding * l->act_w + l->padding) * j->t;

    job_border(j, j->act, l->act_h, l->act_w, l->padding, l->h, l->w);
    j->kernels->plane_load(&p, scale, scale == NULL ? NULL : scale + j->t, j->s->x + j->in, inner);
    return inner;
}

PlaneWindow job_window(const Job *j, PlaneTap *tap)
{
    const SeparableLayout *l = j->l;

    for (uint32_t i = 0; i < l->taps; i++)
        tap[i] =
            (PlaneTap){ ((size_t)(i / l->kernel) * l->act_w + i % l->kernel) * l->dilation * j->t,
                        i * l->t };
    return (PlaneWindow){ .t = j->t,
                          .rows = l->oh,
                          .cols = l->ow,
                          .dst_row = l->ow * j->t,
                          .dst_col = j->t,
                          .src_row = (size_t)l->stride * l->act_w * j->t,
                          .src_col = l->stride * j->t,
                          .taps = l->taps,
                          .tap = tap };
}

uint32_t job_strip(const Job *j, uint32_t y)
{
    return j->l->oh - y < j->l->strip ? j->l->oh - y : j->l->strip;
}

void job_gather(const Job *j, uint32_t y, uint32_t rows)
{
    PlaneTap tap[SEPARABLE_TAPS_MAX];
    PlaneWindow window = job_window(j, tap);

    window.rows = rows;
    j->kernels->plane_gather(&window, j->weights, j->act + y * window.src_row, j->maps);
}

/* ---- Forward ---- */

/* Of a lane: mean [C], m2 [C], of one job sum [C] and square [C]; how many rows. */
enum { LANE_MEAN, LANE_M2, LANE_SUM, LANE_SQUARE, LANE_COUNT };

static double *lane_numbers(double *moments, uint32_t c, int which)
{
    return moments + (size_t)which * c;
}

static Moments lane_moments(double *moments, uint32_t c, uint32_t channel)
{
    return (Moments){ *lane_numbers(moments, c, LANE_COUNT),
                      lane_numbers(moments, c, LANE_MEAN)[channel],
                      lane_numbers(moments, c, LANE_M2)[channel] };
}

/* A job's into its lane's. */
static void add_moments(const Job *j, const PlaneMoments *m)
{
    const uint32_t c = j->l->c;
    double rows = (double)m->rows;

    for (uint32_t i = 0; i < c; i++) {
        double off = m->sum[i] / rows, m2 = m->square[i] - m->sum[i] * off;
        Moments all = moments_merge(lane_moments(j->moments, c, i),
                                    (Moments){ rows, (double)m->about[i] + off, m2 > 0 ? m2 : 0 });

        lane_numbers(j->moments, c, LANE_MEAN)[i] = all.mean;
        lane_numbers(j->moments, c, LANE_M2)[i] = all.m2;
    }
    *lane_numbers(j->moments, c, LANE_COUNT) += rows;
}

static void forward_job(const Job *j)
{
    const SeparableLayout *l = j->l;
    const RowSteps memory = { j->images, j->nc, l->c };
    PlaneMoments moments = { .about = j->work,
                             .work = j->work + l->c,
                             .sum = lane_numbers(j->moments, l->c, LANE_SUM),
                             .square = lane_numbers(j->moments, l->c, LANE_SQUARE) };

    job_activation(j);
    for (uint32_t y = 0; y < l->oh; y += l->strip) {
        uint32_t rows = job_strip(j, y);

        job_gather(j, y, rows);
        j->kernels->plane_product((size_t)rows * l->ow * j->images, l->c, l->c, j->maps,
                                  j->s->pointwise, j->s->y + j->out + (size_t)y * l->ow * j->nc,
                                  &memory, &moments);
    }
    add_moments(j, &moments);
}

void separable_forward(const Separable *s, Moments *moments)
{
    jobs_run(s, forward_job, NULL);
    for (uint32_t i = 0; i < s->l.c && moments != NULL; i++) {
        moments[i] = (Moments){ 0, 0, 0 };
        for (uint32_t lane = 0; lane < s->l.lanes; lane++)
            if (*lane_numbers(jobs_lane(s, lane, s->l.moments), s->l.c, LANE_COUNT) > 0)
                moments[i] = moments_merge(
                    moments[i], lane_moments(jobs_lane(s, lane, s->l.moments), s->l.c, i));
    }
}
