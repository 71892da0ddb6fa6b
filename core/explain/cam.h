/*
 * cam -- the table of heat-map methods: one file `cam_x.c` and one row in meson.build each.
 *
 * A method makes a map [h,w] of numbers that the network has of one image and of one class c: the
 * activation A of a layer, or of the image itself (a map of pixels), the gradient of the class's
 * logit G = dy_c/dA, and what else its row says that it needs. How these numbers come about is the
 * engine's business (explanation.h); a row is a pure function of them.
 */
#pragma once

#include "core/base/param.h"
#include "core/graph/plan.h"
#include "core/nn/network.h"

enum {
    MAP_LAYERS_MAX = 8, /* that can be fused */
    LAYER_NAME_MAX = 64,
    CAM_LANES_MAX = 64, /* changed inputs in one pass of CAM_SCORES */
};

/* What a method needs. */
enum {
    CAM_GRADIENT = 1,    /* G */
    CAM_HEAD = 2,        /* the layer to be the one in front of global average pooling and a linear
                            layer, and the class's weights there */
    CAM_PIXELS = 4,      /* A is the image as the network sees it; no layer is asked for */
    CAM_GUIDED = 8,      /* with CAM_PIXELS: G by guided backpropagation, and a layer after all: the
                            map of its Grad-CAM */
    CAM_DELTA = 16,      /* with CAM_PIXELS: what an attack changes, instead of G */
    CAM_SCORES = 32,     /* the logits of a changed input for each channel of A: pass() */
    CAM_FROM_LAYER = 64, /* with CAM_SCORES: what is changed is A, not the image */
    CAM_CLASSLESS = 128, /* one map for every class */
    CAM_PIXEL_SCALE = 256, /* the scale of the pixels: of networks that see plain images only */
};

/* One image, one class: [h,w,c] each. */
typedef struct CamInput {
    uint32_t height, width, channels;
    const real *activation;
    const real *gradient; /* with CAM_GRADIENT or, in units of pixels scaled to 0..1, CAM_DELTA */
    const real *head;     /* with CAM_HEAD: [c], the class's weights, without the bias */
    const real *scores;   /* with CAM_SCORES: [c], y_c of the input changed by each channel */
    real score;           /* y_c, the logit, of the image as it is */
    const float *map;     /* with CAM_GUIDED: [h,w], Grad-CAM behind its ReLU, resized */
    double *room;         /* as many as the row's room() says */
} CamInput;

/* One of the inputs, other than its image, that a method asks the network about. */
typedef struct CamPass {
    uint32_t index; /* the channel (CAM_SCORES), or which of the row's samples */
    uint32_t height, width, channels;
    const real *from; /* [h,w,c]: what is changed: the image, or with CAM_FROM_LAYER A */
    size_t stride;    /* pixel p of the answer begins at p * stride */
    /* With CAM_SCORES: A, plane by plane, [layer_channels,layer_height,layer_width]. */
    uint32_t layer_height, layer_width, layer_channels;
    const real *planes;
    const float *std; /* with CAM_PIXEL_SCALE: [c], of pixels scaled to 0..1 */
    uint64_t seed;    /* what is drawn is keyed by seed, sample and item */
    uint32_t item;
} CamPass;

typedef struct Cam {
    Described described;
    unsigned needs;
    uint32_t samples; /* with CAM_PIXELS: G is the mean of those at so many inputs of pass(); 0: G
                         at the image */
    void (*pass)(const CamPass *pass, real *ret);
    /* Writes the map [h,w], before the ReLU; what is not finite there becomes 0. */
    void (*compute)(const CamInput *in, float *ret);
    /* Doubles that compute() works with; NULL: none. */
    size_t (*room)(uint32_t height, uint32_t width, uint32_t channels);
} Cam;

extern const Cam *const cam_table[]; /* NULL-terminated */
extern const Cam cam_gradcam;        /* its row: CAM_GUIDED makes use of it */

/* The linear head of a network: logits = weight * mean over the pixels of `layer` (+ bias). */
typedef struct CamHead {
    NodeId layer;              /* NODE_NONE: its head is another */
    const GraphWeight *weight; /* [classes,c] on disk, [c,classes] in memory */
} CamHead;
CamHead cam_head(const Network *network);
/* The class's weights [c], from `weights` laid out as the graph says. */
void cam_head_weights(const CamHead *head, const real *weights, uint32_t class_index, real *ret);

/* A layer with pixels by its name, NULL: the model's default. STATUS_INVALID at "/layer": the
 * message lists the stages; one that `cam` (NULL: any) cannot use, or that the class scores do not
 * depend on. */
CHECKED Status cam_find_layer(const Network *network, const char *name, const Cam *cam, NodeId *ret,
                              Error *err);
/* What a map by `cam` is made of: the layers of `names` (with commas between them; "": the model's
 * default), or of a map of pixels, which takes none, the image alone. Errors at "/layer" as
 * cam_find_layer(), or more than MAP_LAYERS_MAX; at "/source": a method that does not suit the
 * model. */
CHECKED Status cam_find_layers(const Network *network, const char *names, const Cam *cam,
                               NodeId ret[MAP_LAYERS_MAX], uint32_t *ret_count, Error *err);
