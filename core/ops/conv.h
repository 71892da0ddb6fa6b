/*
 * conv -- convolution: conv2d, and for inference those that the planner fuses with what follows.
 *
 * x: [N,H,W,I], weight: [O,I/g,kH,kW] (in memory [kH,kW,I/g,O]), bias: [O] if asked for,
 * y: [N,OH,OW,O].
 */
#pragma once

#include "core/ops/op.h"

enum { CONV_PARAMS = 11 };
#define CONV_PARAM_ROWS                                                                                 \
    { "channels", PARAM_INT, 64, 1, 65536, NULL, "output channels" },                                   \
        { "kernel", PARAM_INT, 3, 1, 15, NULL, "side of the kernel, or its height" },                   \
        { "kernel_width", PARAM_INT, 0, 0, 15, NULL, "width of the kernel; 0: as its height" },         \
        { "stride", PARAM_INT, 1, 1, 8, NULL, "step between output pixels" },                           \
        { "padding", PARAM_INT, 0, 0, 64, NULL, "zeros around the image, or above and below it" },      \
        { "padding_width",                                                                              \
          PARAM_INT,                                                                                    \
          -1,                                                                                           \
          -1,                                                                                           \
          64,                                                                                           \
          NULL,                                                                                         \
          "zeros left and right; -1: as above and below" },                                             \
        { "dilation", PARAM_INT, 1, 1, 8, NULL, "step between the kernel's input pixels" },             \
        { "groups", PARAM_INT, 1, 1, 65536, NULL, "parts of the channels that do not meet" },           \
        { "bias", PARAM_BOOL, 0, 0, 1, NULL, "a number added to each output channel" },                 \
        { "frozen", PARAM_BOOL, 0, 0, 1, NULL, "the weight is counted and stored, but never trained" }, \
    {                                                                                                   \
        "dirac", PARAM_BOOL, 0, 0, 1, NULL, "start with the first outputs repeating the inputs"         \
    }
extern const Param conv_params[CONV_PARAMS];

/* A convolution's three passes. */
typedef enum ConvPass { CONV_FORWARD, CONV_DATA, CONV_WEIGHTS } ConvPass;

/* Whether somebody may want the gradient of the weights. */
typedef enum ConvUse { CONV_TRAINED, CONV_INFERENCE } ConvUse;

/* What becomes of y while it is still in cache: y*scale + shift, per channel; plus z, which lies as
 * y does, unless it is NULL; then, if asked for, what is below 0 becomes 0. The numbers are those
 * of norm_forward() (kernels.h). */
typedef struct ConvFinish {
    const real *scale, *shift, *z;
    bool relu;
} ConvFinish;

/* Of one input. */
CHECKED Status conv_shape(const double *value, const Shape *in, ConvUse use, OpShapes *ret,
                          Error *err);
/* How many weights it has: with the bias or without. */
uint32_t conv_weights(const double *value);
/* finish: NULL for nothing. */
void conv_forward(const OpCall *call, const ConvFinish *finish);
void conv_backward(const OpCall *call);
