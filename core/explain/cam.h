/*
 * cam -- the table of heat-map methods: one file `cam_x.c` and one row in meson.build each.
 *
 * A method makes a map [h,w] of a layer's activation A and what it needs to know of a class: the
 * gradient of its logit, G = dy_c/dA, or its weights behind global average pooling.
 */
#pragma once

#include "core/base/param.h"
#include "core/graph/plan.h"
#include "core/nn/network.h"

/* What a method needs. */
enum {
    CAM_GRADIENT = 1, /* G */
    CAM_HEAD = 2,     /* the layer to be the one in front of global average pooling and a linear
                         layer, and the class's weights there */
};

/* One image, one class: [h,w,c] each. */
typedef struct CamInput {
    uint32_t height, width, channels;
    const real *activation;
    const real *gradient; /* with CAM_GRADIENT */
    const real *head;     /* with CAM_HEAD: [c], the class's weights, without the bias */
} CamInput;

typedef struct Cam {
    Described described;
    unsigned needs;
    /* Writes the map [h,w], before the ReLU. */
    void (*compute)(const CamInput *in, float *ret);
} Cam;

extern const Cam *const cam_table[]; /* NULL-terminated */

/* The linear head of a network: logits = weight * mean over the pixels of `layer` (+ bias). */
typedef struct CamHead {
    NodeId layer;              /* NODE_NONE: its head is another */
    const GraphWeight *weight; /* [classes,c] on disk, [c,classes] in memory */
} CamHead;
CamHead cam_head(const Network *network);
/* The class's weights [c], from `weights` laid out as the graph says. */
void cam_head_weights(const CamHead *head, const real *weights, uint32_t class_index, real *ret);

/* A layer with pixels by its name, NULL: the model's default. STATUS_INVALID at "/layer": the
 * message lists the stages; one that `cam` (NULL: any) cannot use. */
CHECKED Status cam_find_layer(const Network *network, const char *name, const Cam *cam, NodeId *ret,
                              Error *err);
/* STATUS_INVALID at "/layer" where the class scores do not depend on what the plan (its
 * gradient_to) is about. */
CHECKED Status cam_check_gradient(const Plan *plan, Error *err);
