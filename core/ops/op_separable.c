/*
 * separable -- y = pointwise(depthwise(max(n(x), 0))), where n(x) is x or, with statistics,
 * (x - mean) r: half of DARTS' separable convolutions, and the whole of its dilated ones.
 *
 * x: [N,H,W,C]; statistics: [2,C] (batch_statistics of x), or none. Weights:
 * depthwise [C,1,k,k] and 1x1 [C,C,1,1], named as DARTS' public code has them: a sequence "op"
 * whose first modules (a node of that name) or whose fifth and sixth (a node named as the whole)
 * they are.  y: [N,OH,OW,C].
 *
 * Nothing is kept for backward() but x: the activation and what the depthwise convolution makes of
 * it are cheaper to compute again than to fetch. The images of a block are taken some at a time, so
 * that a job's maps stay in the second cache from the ReLU to the product; a job is such a group of
 * images, whole, because a row of output needs its neighbours. Jobs go round at most LANES_MAX
 * units, whose sums of the weights' gradients are their own and are added in the units' order.
 * Working memory is handed from unit to unit, so that no more of it is touched than there are
 * threads; what lies there does not matter, and so neither does who had it before.
 *
 * With g = the gradient in front of the ReLU where the ReLU lets through, M rows, per channel
 * S = sum g, P = sum g xhat:  dx = r (g - S/M - xhat P/M) in training, r g with running statistics.
 */
#include <assert.h>
#include <stdatomic.h>
#include <string.h>

#include "core/ops/op.h"

enum { VALUE_KERNEL, VALUE_STRIDE, VALUE_DILATION, VALUE_SECOND, VALUES };
enum { DEPTHWISE, POINTWISE };
enum { LANES_MAX = 16, JOB_NUMBERS = 64, TAPS_MAX = 15 * 15 };

static const Param separable_params[] = {
    { "kernel", PARAM_INT, 3, 1, 15, NULL, "side of the depthwise kernel, odd" },
    { "stride", PARAM_INT, 1, 1, 8, NULL, "step between output pixels" },
    { "dilation", PARAM_INT, 1, 1, 8, NULL, "step between the kernel's input pixels" },
    { "second", PARAM_BOOL, 0, 0, 1, NULL, "the second half of a separable convolution" },
};

/* The sizes of a call, and where a lane's memory is cut. */
typedef struct Layout {
    uint32_t n, h, w, c, oh, ow; /* n: images of the batch */
    uint32_t kernel, stride, dilation, padding, taps;
    uint32_t images; /* of a job */
    uint32_t jobs_of_block, jobs, lanes;
    size_t t;                     /* numbers of a pixel in a job */
    uint32_t act_h, act_w;        /* of the padded activation */
    uint32_t low, grad_h, grad_w; /* margin of the padded gradient, and its size */
    /* numbers from the beginning of a working memory */
    size_t act, maps, grad, weights, work, room;
    /* doubles from the beginning of a lane's sums */
    size_t depthwise, pointwise, sums, lane;
} Layout;

/* Numbers, rounded to a cache line. */
static size_t line(size_t numbers)
{
    const size_t in_line = 64 / sizeof(real);

    return (numbers + in_line - 1) / in_line * in_line;
}

static void cut_memory(Layout *l)
{
    size_t in = (size_t)l->h * l->w * l->t, out = (size_t)l->oh * l->ow * l->t;

    l->act = 0;
    l->maps = l->act + line((size_t)l->act_h * l->act_w * l->t);
    l->grad = l->maps + line(in > out ? in : out);
    l->weights = l->grad + line((size_t)l->grad_h * l->grad_w * l->t);
    l->work = l->weights + line(l->taps * l->t);
    l->room = l->work + line((size_t)l->c * l->c + 2 * l->t);
    l->depthwise = 0;
    l->pointwise = l->depthwise + l->taps * l->t;
    l->sums = l->pointwise + (size_t)l->c * l->c;
    l->lane = line(l->sums + 2 * l->t);
}

/* Of the padded gradient: as many as outputs reach, or inputs ask for. */
static uint32_t gradient_side(const Layout *l, uint32_t in, uint32_t out)
{
    uint32_t asked = (in - 1 + l->padding) / l->stride + 1;

    return l->low + (asked > out ? asked : out);
}

static Layout layout_of(const double *value, const Shape *in)
{
    Layout l = { .n = in->dim[0], .h = in->dim[1], .w = in->dim[2], .c = in->dim[3] };
    uint32_t reach, block = l.n < BLOCK_IMAGES ? l.n : BLOCK_IMAGES;

    l.kernel = (uint32_t)value[VALUE_KERNEL];
    l.stride = (uint32_t)value[VALUE_STRIDE];
    l.dilation = (uint32_t)value[VALUE_DILATION];
    l.padding = l.kernel / 2 * l.dilation;
    l.taps = l.kernel * l.kernel;
    assert(block > 0 && l.c > 0); /* as in every graph */
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
    cut_memory(&l);
    return l;
}

static Status separable_shape(const double *value, const Shape *in, uint32_t inputs, OpShapes *ret,
                              Error *err)
{
    static const char *const names[2][2] = { { "1.weight", "2.weight" },
                                             { "op.5.weight", "op.6.weight" } };
    const char *const *name = names[value[VALUE_SECOND] > 0];
    uint32_t kernel = (uint32_t)value[VALUE_KERNEL], c = in[0].dim[3];
    Layout l;

    if (in[0].rank != 4 || inputs > 2 || kernel % 2 == 0)
        return error_set(err, STATUS_BAD_SHAPE,
                         "separable wants [N,H,W,C], no more than statistics, and an odd kernel");
    if (inputs == 2 && (in[1].rank != 2 || in[1].dim[0] != 2 || in[1].dim[1] != c))
        return error_set(err, STATUS_BAD_SHAPE, "separable wants statistics [2,%u]", c);
    l = layout_of(value, &in[0]);
    *ret = (OpShapes){
        .out = shape4(l.n, l.oh, l.ow, c),
        .weights = 2,
        .weight = { [DEPTHWISE] = { name[DEPTHWISE], shape4(c, 1, kernel, kernel), WEIGHT_TRAINED,
                                    WEIGHT_CONV, INIT_UNIFORM, l.taps },
                    [POINTWISE] = { name[POINTWISE], shape4(c, c, 1, 1), WEIGHT_TRAINED,
                                    WEIGHT_CONV, INIT_UNIFORM, c } },
        .scratch_bytes = l.lanes * (l.room * sizeof(real) + l.lane * sizeof(double)) +
                         (line((size_t)c * c) + line(3 * (size_t)c)) * sizeof(real) +
                         (inputs == 2 ? shape_count(&in[0]) * sizeof(real) : 0),
        .flops = 2.0 * l.n * l.oh * l.ow * c * (l.taps + (double)c),
    };
    return STATUS_OK;
}

struct Job;
typedef void JobBody(const struct Job *job);

typedef struct Separable {
    const OpCall *call;
    Layout l;
    const real *statistics; /* NULL: none */
    double *sums;           /* [lanes] of l.lane doubles */
    real *turned;           /* [C,C] the 1x1, transposed */
    real *coefficient;      /* [3,C] */
    real *rooms;            /* [lanes] of l.room numbers */
    real *g;                /* gradient in front of the normalisation, else dx itself */
    JobBody *body;
    atomic_uint taken; /* rooms, a bit each */
} Separable;

static void separable_init(Separable *s, const OpCall *call)
{
    *s = (Separable){ .call = call, .l = layout_of(call->value, &call->in[0].shape) };
    s->statistics = call->inputs == 2 ? call->in[1].data : NULL;
    s->sums = call->scratch;
    s->turned = (real *)(s->sums + s->l.lanes * s->l.lane);
    s->coefficient = s->turned + line((size_t)s->l.c * s->l.c);
    s->rooms = s->coefficient + line(3 * (size_t)s->l.c);
    s->g = call->in_gradient[0];
    if (s->g != NULL && s->statistics != NULL && call->accumulate[0])
        s->g = s->rooms + s->l.lanes * s->l.room;
    for (size_t c = 0; c < s->l.c && s->statistics != NULL; c++) {
        s->coefficient[c] = s->statistics[s->l.c + c];
        s->coefficient[s->l.c + c] = -s->statistics[c] * s->statistics[s->l.c + c];
    }
}

/* The first room that nobody has; no more units run than there are rooms. */
static unsigned take_room(Separable *s)
{
    for (unsigned room = 0;; room = (room + 1) % s->l.lanes)
        if ((atomic_fetch_or_explicit(&s->taken, 1U << room, memory_order_acquire) >> room & 1) ==
            0)
            return room;
}

static void give_room(Separable *s, unsigned room)
{
    atomic_fetch_and_explicit(&s->taken, ~(1U << room), memory_order_release);
}

/* One job: some images of a block. */
typedef struct Job {
    const Separable *s;
    uint32_t images;                          /* may be fewer in a partial block */
    size_t t;                                 /* images * C */
    size_t nc;                                /* of the block: numbers of a pixel in memory */
    size_t in, out;                           /* the first number in x and y */
    real *act, *maps, *grad, *weights, *work; /* of the room */
    double *depthwise, *pointwise, *sums;     /* of the lane */
} Job;

/* False where a partial block has no such images. */
static bool job_at(const Separable *s, size_t lane, unsigned room, size_t number, Job *ret)
{
    const Layout *l = &s->l;
    uint32_t block = (uint32_t)(number / l->jobs_of_block),
             first = (uint32_t)(number % l->jobs_of_block) * l->images,
             there = block_images(l->n, block);
    size_t begin = (size_t)block * BLOCK_IMAGES * l->c;
    real *numbers = s->rooms + room * l->room;
    double *doubles = s->sums + lane * l->lane;

    if (first >= there)
        return false;
    *ret = (Job){ .s = s,
                  .images = there - first < l->images ? there - first : l->images,
                  .nc = (size_t)there * l->c,
                  .in = begin * l->h * l->w + (size_t)first * l->c,
                  .out = begin * l->oh * l->ow + (size_t)first * l->c,
                  .act = numbers + l->act,
                  .maps = numbers + l->maps,
                  .grad = numbers + l->grad,
                  .weights = numbers + l->weights,
                  .work = numbers + l->work,
                  .depthwise = doubles + l->depthwise,
                  .pointwise = doubles + l->pointwise,
                  .sums = doubles + l->sums };
    ret->t = (size_t)ret->images * l->c;
    return true;
}

static void repeat(const Job *j, const real *row, real *ret)
{
    for (uint32_t i = 0; i < j->images; i++)
        memcpy(ret + i * j->s->l.c, row, j->s->l.c * sizeof *row);
}

/* The depthwise weights [taps,t]: a tap's channels once an image. */
static void lay_weights(const Job *j)
{
    const Layout *l = &j->s->l;

    for (uint32_t tap = 0; tap < l->taps; tap++)
        repeat(j, j->s->call->weight[DEPTHWISE] + (size_t)tap * l->c, j->weights + tap * l->t);
}

static real *inner_activation(const Job *j)
{
    const Layout *l = &j->s->l;

    return j->act + ((size_t)l->padding * l->act_w + l->padding) * j->t;
}

/* Zeros around the pixels [low, low + h) x [low, low + w) of a map [all_h,all_w,t]. */
static void lay_border(const Job *j, real *map, size_t all_h, size_t all_w, size_t low, size_t h,
                       size_t w)
{
    size_t row = all_w * j->t, right = all_w - low - w;

    memset(map, 0, low * row * sizeof *map);
    memset(map + (low + h) * row, 0, (all_h - low - h) * row * sizeof *map);
    for (size_t y = low; y < low + h; y++) {
        memset(map + y * row, 0, low * j->t * sizeof *map);
        memset(map + (y * all_w + low + w) * j->t, 0, right * j->t * sizeof *map);
    }
}

/* The activation, with its border of zeros. */
static void lay_activation(const Job *j)
{
    const Layout *l = &j->s->l;
    const real *scale = NULL, *shift = NULL;
    PlaneWindow p = { .t = j->t,
                      .rows = l->h,
                      .cols = l->w,
                      .dst_row = l->act_w * j->t,
                      .dst_col = j->t,
                      .src_row = l->w * j->nc,
                      .src_col = j->nc };

    lay_border(j, j->act, l->act_h, l->act_w, l->padding, l->h, l->w);
    if (j->s->statistics != NULL) {
        repeat(j, j->s->coefficient, j->work);
        repeat(j, j->s->coefficient + l->c, j->work + j->t);
        scale = j->work;
        shift = j->work + j->t;
    }
    j->s->call->kernels->plane_load(&p, scale, shift, j->s->call->in[0].data + j->in,
                                    inner_activation(j));
}

/* The window of the depthwise convolution; `tap` has room for all. */
static PlaneWindow window_of(const Job *j, PlaneTap *tap)
{
    const Layout *l = &j->s->l;

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

/* The rows of a job's maps: dense in a lane, images of a pixel together in memory. */
static RowSteps dense_rows(const Job *j)
{
    return (RowSteps){ SIZE_MAX, 0, j->s->l.c };
}

static RowSteps memory_rows(const Job *j)
{
    return (RowSteps){ j->images, j->nc, j->s->l.c };
}

static size_t map_rows(const Job *j)
{
    return (size_t)j->s->l.oh * j->s->l.ow * j->images;
}

static void forward_job(const Job *j)
{
    const OpCall *call = j->s->call;
    RowSteps dense = dense_rows(j), memory = memory_rows(j);
    PlaneTap tap[TAPS_MAX];
    PlaneWindow window = window_of(j, tap);

    lay_activation(j);
    call->kernels->plane_gather(&window, j->weights, j->act, j->maps);
    call->kernels->plane_product(map_rows(j), j->s->l.c, j->s->l.c, j->maps, &dense,
                                 call->weight[POINTWISE], call->out.data + j->out, &memory);
}

/* Every lanes-th job. */
static void run_lane(void *context, size_t lane)
{
    Separable *s = context;
    unsigned room = take_room(s);
    size_t t = 0;
    Job job;

    for (size_t i = lane; i < s->l.jobs; i += s->l.lanes) {
        if (!job_at(s, lane, room, i, &job))
            continue;
        if (job.t != t)
            lay_weights(&job);
        t = job.t;
        s->body(&job);
    }
    give_room(s, room);
}

static void separable_forward(const OpCall *call)
{
    Separable s;

    separable_init(&s, call);
    s.body = forward_job;
    pool_run(call->pool, s.l.lanes, run_lane, &s);
}

/* ---- Backward ---- */

/* dy times the transposed 1x1, with a border of zeros; answers where pixel (0,0) is. */
static real *lay_gradient(const Job *j)
{
    const Layout *l = &j->s->l;
    const OpCall *call = j->s->call;
    RowSteps memory = memory_rows(j), row = dense_rows(j);
    real *inner = j->grad + ((size_t)l->low * l->grad_w + l->low) * j->t;

    lay_border(j, j->grad, l->grad_h, l->grad_w, l->low, l->oh, l->ow);
    for (uint32_t y = 0; y < l->oh; y++)
        call->kernels->plane_product((size_t)l->ow * j->images, l->c, l->c,
                                     call->out_gradient + j->out + (size_t)y * l->ow * j->nc,
                                     &memory, j->s->turned, inner + (size_t)y * l->grad_w * j->t,
                                     &row);
    return inner;
}

static bool wants_weights(const OpCall *call)
{
    return call->weight_gradient[DEPTHWISE] != NULL || call->weight_gradient[POINTWISE] != NULL;
}

/* Adds this job's part of the weights' gradients; the maps are computed again. */
static void weights_of_job(const Job *j, const real *gradient)
{
    const Layout *l = &j->s->l;
    const OpCall *call = j->s->call;
    RowSteps dense = dense_rows(j), memory = memory_rows(j);
    PlaneTap tap[TAPS_MAX];
    PlaneWindow window = window_of(j, tap);
    double *sum = j->depthwise;

    call->kernels->plane_gather(&window, j->weights, j->act, j->maps);
    call->kernels->plane_outer(map_rows(j), l->c, l->c, j->maps, &dense,
                               call->out_gradient + j->out, &memory, j->pointwise, j->work);
    window.dst_row = l->grad_w * j->t;
    call->kernels->plane_dots(&window, j->act, gradient, sum);
}

/* The taps that input pixels of this phase meet: their source in the padded gradient. */
static size_t taps_of_phase(const Job *j, uint32_t phase_y, uint32_t phase_x, PlaneTap *ret)
{
    const Layout *l = &j->s->l;
    size_t count = 0;

    for (uint32_t i = 0; i < l->taps; i++) {
        int32_t y = (int32_t)(phase_y + l->padding) - (int32_t)(i / l->kernel * l->dilation),
                x = (int32_t)(phase_x + l->padding) - (int32_t)(i % l->kernel * l->dilation),
                stride = (int32_t)l->stride, low = (int32_t)l->low;

        if (y % stride == 0 && x % stride == 0)
            ret[count++] =
                (PlaneTap){ ((size_t)(low + y / stride) * l->grad_w + (size_t)(low + x / stride)) *
                                j->t,
                            i * l->t };
    }
    return count;
}

/*
 * The gradient of the activation, in j->maps [H,W,t]. Input pixel stride*q + phase meets the taps
 * with (phase + padding - tap*dilation) divisible by the stride, and through them the outputs
 * q + that/stride: each phase of rows and columns is a window of its own over the gradient.
 */
static void gather_gradient(const Job *j)
{
    const Layout *l = &j->s->l;
    PlaneTap tap[TAPS_MAX];

    for (uint32_t y = 0; y < l->stride && y < l->h; y++)
        for (uint32_t x = 0; x < l->stride && x < l->w; x++) {
            PlaneWindow p = { .t = j->t,
                              .rows = (l->h - 1 - y) / l->stride + 1,
                              .cols = (l->w - 1 - x) / l->stride + 1,
                              .dst_row = (size_t)l->stride * l->w * j->t,
                              .dst_col = l->stride * j->t,
                              .src_row = l->grad_w * j->t,
                              .src_col = j->t,
                              .taps = taps_of_phase(j, y, x, tap),
                              .tap = tap };

            j->s->call->kernels->plane_gather(&p, j->weights, j->grad,
                                              j->maps + ((size_t)y * l->w + x) * j->t);
        }
}

/* Through the ReLU into memory, and the sums that the normalisation's gradient needs. */
static void store_gradient(const Job *j)
{
    const Layout *l = &j->s->l;
    bool normed = j->s->statistics != NULL;
    PlaneWindow p = { .t = j->t,
                      .rows = l->h,
                      .cols = l->w,
                      .dst_row = l->w * j->nc,
                      .dst_col = j->nc,
                      .src_row = l->w * j->t,
                      .src_col = j->t },
                act = { .src_row = l->act_w * j->t, .src_col = j->t };

    j->s->call->kernels->plane_store(&p, j->maps, inner_activation(j), &act, j->s->g + j->in,
                                     !normed && j->s->call->accumulate[0], normed ? j->sums : NULL,
                                     normed ? j->sums + l->t : NULL);
}

static void backward_job(const Job *j)
{
    const OpCall *call = j->s->call;
    real *gradient;

    lay_activation(j);
    gradient = lay_gradient(j);
    if (wants_weights(call))
        weights_of_job(j, gradient);
    if (call->in_gradient[0] != NULL) {
        gather_gradient(j);
        store_gradient(j);
    }
}

/* Adds `count` numbers of all lanes, in their order, to those of the first. */
static double *add_lanes(const Separable *s, size_t at, size_t count)
{
    double *sum = s->sums + at;

    for (uint32_t lane = 1; lane < s->l.lanes; lane++)
        for (size_t i = 0; i < count; i++)
            sum[i] += sum[lane * s->l.lane + i];
    return sum;
}

/* Unit = a tap, of which each image of a job has a part, or, behind the taps, a row of the 1x1. */
static void weight_unit(void *context, size_t u)
{
    const Separable *s = context;
    const Layout *l = &s->l;
    bool tap = u < l->taps;
    size_t row = tap ? u : u - l->taps, times = tap ? l->images : 1;
    real *dw = s->call->weight_gradient[tap ? DEPTHWISE : POINTWISE];
    const double *sum;

    if (dw == NULL)
        return;
    sum = tap ? add_lanes(s, l->depthwise + row * l->t, l->t)
              : add_lanes(s, l->pointwise + row * l->c, l->c);
    for (size_t c = 0; c < l->c; c++) {
        double all = 0;

        for (size_t i = 0; i < times; i++)
            all += sum[i * l->c + c];
        dw[row * l->c + c] += (real)all;
    }
}

static void normalisation_unit(void *context, size_t u)
{
    const Separable *s = context;
    size_t c = s->l.c, size = op_unit_rows(c), row = u * size, all = op_rows(&s->call->in[0].shape),
           at = row * c;

    s->call->kernels->channel_backward(all - row < size ? all - row : size, c,
                                       s->call->in[0].data + at, s->g + at, s->statistics,
                                       s->coefficient, s->coefficient + c, s->coefficient + 2 * c,
                                       s->call->in_gradient[0] + at, s->call->accumulate[0]);
}

/* From the gradient in front of the normalisation, s->g, to that of x. */
static void backward_normalisation(Separable *s)
{
    const Layout *l = &s->l;
    const double *sums = add_lanes(s, l->sums, 2 * l->t);
    double rows = (double)op_rows(&s->call->in[0].shape);

    for (size_t c = 0; c < l->c; c++) {
        double r = (double)s->statistics[l->c + c], sum = 0, product = 0;

        for (size_t i = c; i < l->t; i += l->c) {
            sum += sums[i];
            product += sums[l->t + i];
        }
        s->coefficient[c] = (real)r;
        s->coefficient[l->c + c] = s->call->training ? (real)(-r * r * product / rows) : 0;
        s->coefficient[2 * l->c + c] = s->call->training ? (real)(-r * sum / rows) : 0;
    }
    pool_run(s->call->pool, op_units(op_rows(&s->call->in[0].shape), l->c), normalisation_unit, s);
}

static void separable_backward(const OpCall *call)
{
    Separable s;

    separable_init(&s, call);
    s.body = backward_job;
    memset(s.sums, 0, s.l.lanes * s.l.lane * sizeof *s.sums);
    for (size_t i = 0; i < s.l.c; i++)
        for (size_t o = 0; o < s.l.c; o++)
            s.turned[o * s.l.c + i] = call->weight[POINTWISE][i * s.l.c + o];
    pool_run(call->pool, s.l.lanes, run_lane, &s);
    if (wants_weights(call))
        pool_run(call->pool, s.l.taps + s.l.c, weight_unit, &s);
    if (call->in_gradient[0] != NULL && s.statistics != NULL)
        backward_normalisation(&s);
    if (call->in_gradient[1] != NULL && !call->accumulate[1])
        memset(call->in_gradient[1], 0, 2 * (size_t)s.l.c * sizeof(real));
}

const Op op_separable = {
    .described = { "separable", "ReLU, depthwise and 1x1 convolution", separable_params, VALUES },
    .inputs = 1,
    .variadic = true,
    .flags = OP_NEEDS_INPUT,
    .shape = separable_shape,
    .forward = separable_forward,
    .backward = separable_backward,
};
