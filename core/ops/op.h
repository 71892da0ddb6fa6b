/*
 * op -- one differentiable operation: a row of the table, a file of its own (op_x.c).
 *
 * The contract:
 * - shape() validates the shapes of the inputs against the parameters, may fail, and answers
 * everything that has to be known before memory is taken: output, weights, saved and scratch.
 * - forward() and backward() return nothing, allocate nothing, take no locks and keep no state.
 * They cut their work into units that depend on shapes alone and hand them to the pool.
 * - Gradients of weights accumulate: the caller zeroes them. For an input's gradient the planner
 * says, per edge, whether to overwrite (the first writer) or to accumulate. A NULL gradient is not
 * wanted.
 * - Adding an operation: this file's contract, a file op_x.c, a name in meson.build
 * (CONTRIBUTING.md).
 */
#pragma once

#include <stdbool.h>

#include "core/base/parallel.h"
#include "core/base/param.h"
#include "core/base/rng.h"
#include "core/base/shape.h"
#include "core/kernels/kernels.h"

enum { OP_INPUTS_MAX = 24, OP_WEIGHTS_MAX = 8 };

typedef enum WeightRole {
    WEIGHT_TRAINED,      /* the optimiser moves it */
    WEIGHT_ARCHITECTURE, /* alphas and betas: moved by the architecture's optimiser; no parameter */
    WEIGHT_FROZEN,       /* a parameter that nothing moves; has no gradient */
    WEIGHT_STATISTIC,    /* moved by forward() in training (running mean and variance) */
} WeightRole;

/* A set of roles whose gradients are wanted. */
enum {
    GRADIENT_TRAINED = 1 << WEIGHT_TRAINED,
    GRADIENT_ARCHITECTURE = 1 << WEIGHT_ARCHITECTURE,
};

/* How a weight lies in memory. On disk it always has PyTorch's order, which is `shape`. */
typedef enum WeightLayout {
    WEIGHT_PLAIN,
    WEIGHT_CONV,   /* shape [O,I/groups,kH,kW]; in memory [kH,kW,I/groups,O] */
    WEIGHT_LINEAR, /* shape [O,I]; in memory [I,O] */
} WeightLayout;

/* How it starts: PyTorch's defaults. */
typedef enum WeightInit {
    INIT_ZERO,
    INIT_ONE,
    INIT_UNIFORM, /* U(-b,b), b = 1/sqrt(fan_in): kaiming-uniform with a = sqrt 5, and PyTorch's
                     bias rule */
    INIT_DIRAC,   /* as INIT_UNIFORM, but the first min(O,I) outputs of a convolution repeat their
                     input: torch.nn.init.dirac_(w[:I]) */
    INIT_WHITEN,  /* as INIT_UNIFORM, until the trainer puts the whitening transform of the training
                     images' patches there (Page, 2018; Jordan, 2024) */
    INIT_MILLI,   /* N(0,1)/1000: how alphas and betas start */
} WeightInit;

typedef struct OpWeight {
    const char *name; /* "weight", "bias", "running_mean", ...; "": the node's own name */
    Shape shape;
    WeightRole role;
    WeightLayout layout;
    WeightInit init;
    uint32_t fan_in;
} OpWeight;

/* What multiplies: forward(), and in backward() the gradients of inputs and of weights. */
enum { OP_PASS_FORWARD, OP_PASS_DATA, OP_PASS_WEIGHTS, OP_PASSES };

typedef struct OpShapes {
    Shape out;
    uint32_t weights;
    OpWeight weight[OP_WEIGHTS_MAX];
    size_t saved;                 /* numbers that forward() leaves for backward() */
    size_t scratch_bytes;         /* working memory of one call */
    size_t forward_scratch_bytes; /* where backward() will not run; 0: as much */
    double flops; /* 2 x the multiplies of forward(); convolution and linear layers only */
    double spared[OP_PASSES]; /* of them, what each pass need not do: by Winograd's method */
} OpShapes;

/* One call: everything that forward() or backward() may touch. */
typedef struct OpCall {
    Pool *pool;
    const Kernels *kernels;
    const double *value;  /* the row's parameters */
    bool training;        /* batch statistics are used; dropout and its like are active */
    bool keep_statistics; /* running statistics stay where they are, in training too */
    uint64_t seed;        /* what is drawn is keyed by seed, node, step and image: op_rng() */
    uint32_t step, node;
    double progress; /* share of the training that is done, 0..1; drop-path grows with it */
    bool guided;     /* backward() of a ReLU passes positive gradients only */
    uint32_t inputs;
    const Tensor *in;
    Tensor out;
    real *const *weight;
    real *saved;
    void *scratch;
    /* backward() only */
    const real *out_gradient;
    real *in_gradient[OP_INPUTS_MAX];
    bool accumulate[OP_INPUTS_MAX];
    real *weight_gradient[OP_WEIGHTS_MAX];
} OpCall;

/* What the planner may do with memory around an operation. */
enum {
    OP_INPLACE = 1,             /* out may lie over input 0 */
    OP_GRADIENT_INPLACE = 2,    /* input 0's gradient may lie over out's, when it is overwritten */
    OP_NEEDS_INPUT = 4,         /* backward() reads the inputs */
    OP_NEEDS_OUTPUT = 8,        /* backward() reads the output */
    OP_WEIGHTS_NEED_INPUT = 16, /* backward() reads the inputs for the gradient of weights only */
    OP_CONSTANT = 64,           /* the output does not depend on the inputs' values: no gradient
                                   goes through, backward() is never called */
    OP_PRODUCT = 128,           /* of input 0 and the others: backward() reads either side for the
                                   gradient of the other one only */
    OP_NEEDS_REST = 256,        /* backward() reads all inputs but the first */
    OP_STATISTICS = 512,        /* with OP_CONSTANT: the output does depend on the inputs, but those
                                   who read it give the inputs its share of the gradient; theirs
                                   towards the output itself is zero */
    OP_RECTIFIES = 1024,        /* ends in a ReLU */
    OP_RECTIFIES_INSIDE = 2048, /* has ReLUs elsewhere, whose backward() heeds OpCall.guided */
};

typedef struct Op {
    Described described;
    uint32_t inputs;
    bool variadic; /* `inputs` or more, up to OP_INPUTS_MAX */
    unsigned flags;
    Status (*shape)(const double *value, const Shape *in, uint32_t inputs, OpShapes *ret,
                    Error *err);
    void (*forward)(const OpCall *call);
    void (*backward)(const OpCall *call);
} Op;

extern const Op *const op_table[]; /* NULL-terminated */
/* The row named `name`, or NULL. */
const Op *op_find(const char *name);

/* Working memory of a step whose backward() runs, or does not. */
static inline size_t op_scratch_bytes(const OpShapes *s, bool backward)
{
    return backward || s->forward_scratch_bytes == 0 ? s->scratch_bytes : s->forward_scratch_bytes;
}

/* The stream of image `image` of the batch in this call; the same in forward() and backward(). */
Rng op_rng(const OpCall *call, uint32_t image);

/*
 * Work units over `rows` rows of `c` numbers: unit u covers rows [op_unit_row(u),
 * op_unit_row(u+1)). About 64 Ki numbers a unit; depends on the shape alone.
 */
size_t op_units(size_t rows, size_t c);
size_t op_unit_rows(size_t c);
/* Rows of an activation: N*H*W. */
size_t op_rows(const Shape *s);
