/*
 * explanation -- what a network says of its images, batch by batch: deltas of an attack or heat
 * maps (step 2 of LeaSE). The specification is X of the API. explainer.h is this for one image.
 *
 * The network runs in eval mode and nothing of it changes. A label is looked at only in the split
 * `train`, and only where the target is the label: on validation and test images the target is the
 * network's own prediction, so that an explanation never carries what it is to be judged by. The
 * prediction is the softmax for attacks and the class with the largest logit for heat maps.
 *
 * A heat map is max(M, 0) of what its method (cam.h) makes of a layer, at the layer's resolution,
 * or of a map of pixels at the image's. Several layers are fused: each map behind its ReLU becomes
 * (x - min)/(1e-7 + max(x - min)) and is resized to the largest height and width of them, bilinear
 * with half-pixel centres; the mean of these is brought to 0..1 by the same formula. A signed map
 * leaves the ReLU out; fused ones are each divided by 1e-7 + max |x| then, and the mean stays.
 *
 * What maps cost, in passes through the network (F forward, B backward; each of the whole batch,
 * but see CAM_SCORES), for L layers, K classes asked for and C channels of a layer:
 *   cam, eigencam                                 L F
 *   gradcam hirescam gradcampp xgradcam layercam  L (F + K B); in front of a linear head F
 *   guided_gradcam                                L (F + K B) + L (F + K B)
 *   input_gradient                                F + K B
 *   smoothgrad, integrated_gradients              F + 16 K (F + B), F + 32 K (F + B)
 *   delta                                         F + 4 K (F + B)
 *   scorecam, ablationcam                         L F, and for each layer and image C F of one
 *                                                 image, of the network or of what follows the
 *                                                 layer, which serve all classes
 * Flips double it. Memory does not grow with C: at most CAM_LANES_MAX changed inputs are there at
 * a time.
 */
#pragma once

#include <stdatomic.h>

#include "core/data/compose.h"
#include "core/explain/attack.h"
#include "core/explain/cam.h"

/* Attacks, then heat-map methods: every row of attack_table and cam_table by its name. */
extern const char *const explanation_sources[];

typedef enum ExplanationTarget { TARGET_LABEL, TARGET_PREDICTION } ExplanationTarget;
/* Heat maps of the target's class alone, or of every class. */
typedef enum ExplanationClasses { CLASSES_TARGET, CLASSES_ALL } ExplanationClasses;
extern const char *const explanation_targets[]; /* "label", "prediction" */
extern const char *const explanation_classes[]; /* "target", "all" */

enum { EXPLANATION_LAYER_MAX = MAP_LAYERS_MAX * LAYER_NAME_MAX };

typedef struct ExplanationSpec {
    uint32_t source; /* index into explanation_sources */
    /* Of attacks: see core/explain/attack.h. step_size 0: the row's formula (JSON null). `start`
     * zero is refused for explaining: the gradient towards the own prediction is zero there. */
    double eps, step_size;
    uint32_t steps, start;
    uint32_t target, classes;          /* ExplanationTarget; ExplanationClasses, of heat maps */
    char layer[EXPLANATION_LAYER_MAX]; /* of heat maps; several, with commas between them, are
                                          fused; "": the model's default */
    bool signed_maps; /* without the ReLU: to be looked at, no explanation to reweight by */
    bool flips;       /* of heat maps: the mean of the map and of the mirrored image's, mirrored */
    /* How the explanation meets its image: nothing to this file, but part of X. */
    ReweightSpec reweight;
} ExplanationSpec;

/* Index of "pgd_l2" and the like, or -1. */
int explanation_find(const char *source);
bool explanation_is_attack(uint32_t source);
/* The source of a heat-map method: a row of cam_table, and back (of no attack). */
uint32_t explanation_of_cam(uint32_t row);
const Cam *explanation_cam(uint32_t source);
/* The defaults of X for a source: an attack's own eps, steps and so on, and what reweighting suits.
 */
ExplanationSpec explanation_default(uint32_t source);
/* The attack's row and parameters. */
Choice explanation_attack(const ExplanationSpec *spec);

/*
 * Whether these images can be explained so, by pointers below X: "/eps", "/steps", "/step_size",
 * "/start", "/f" out of range; "/layer": no such layer (the message lists them), one that the
 * method cannot use (CAM: it names the one it can), or any for a map of pixels; "/source": the
 * method does not fit the model.
 */
CHECKED Status explanation_check(const ExplanationSpec *spec, const Network *network, Error *err);
/* Kind, maps, height and width of what comes out; `images` as given. */
MapShape explanation_shape(const ExplanationSpec *spec, const Network *network, uint32_t images);

/* What a heat map has of one layer, or of the image. */
typedef struct HeatStage {
    NodeId layer;
    Shape shape; /* of one image: [1,h,w,c] */
    bool known;  /* it is in front of a linear head: G = w_c/(h w) */
    Plan plan;   /* to the logits, and back to the layer unless G is known or not needed */
    Plan passes; /* of CAM_SCORES: changed inputs to their logits */
} HeatStage;

/* An engine for batches of a fixed size. Belongs to one thread at a time. */
typedef struct Explanation {
    const Network *network; /* borrowed */
    ExplanationSpec spec;
    uint32_t images;
    MapShape shape;
    Attacker attacker; /* of an attack, or of the heat map that is one */
    const Cam *cam;
    CamHead head; /* the network's linear head, if it has one */
    uint32_t stages;
    HeatStage stage[MAP_LAYERS_MAX];
    Plan pixels;                    /* of CAM_GUIDED: back to the image, guided */
    size_t work_bytes, state_bytes; /* see explanation_bind() */

    /* Bound memory: the results of the last explanation_run(). */
    const real *delta;   /* of an attack: [N,H,W,C] blocked, pixel space */
    float *maps;         /* of a heat map: [N,K,h,w], never NaN */
    real *logits;        /* [N,classes] of a heat map: of the images as they are */
    uint32_t *predicted; /* [N] of a heat map: the class of the largest logit */
    uint32_t *wanted;    /* [N] the classes whose maps these are, unless all */
    /* And what only the engine looks at. */
    real *targets;     /* [N,classes] of an attack */
    real *mirrored;    /* [N,H,W,C] blocked: the images, for `flips` */
    real *sums;        /* [N,H,W,C] blocked: of the samples' gradients */
    real *plain;       /* [N,h,w,c] A, each image by itself */
    real *planes;      /* [c,h,w] the same of one image, */
    real *picture;     /* [H,W,C] and that image */
    real *scores;      /* [classes,c] of its changed inputs, */
    real *clean;       /* [N,classes] and the logits of the images, or their mirror images */
    float *raw, *cams; /* [N,K,h,w] of a stage; Grad-CAM's of a stage, for CAM_GUIDED */
    float *other;      /* [N,K,h,w] of the mirrored images */
    char *room;        /* of the units of work */
    size_t room_bytes; /* of each */
    void *forward;     /* a plan's memory behind its forward pass, for the next class */
} Explanation;

/* Plans; takes no tensor memory. Errors as explanation_check(). */
CHECKED Status explanation_init(Explanation *explanation, const Network *network,
                                const ExplanationSpec *spec, uint32_t images, Error *err);
void explanation_clear(Explanation *explanation);
/* work: work_bytes, which others may use between two runs; state: state_bytes, where the results
 * are. Both borrowed, aligned as an arena's. */
void explanation_bind(Explanation *explanation, void *work, void *state);

typedef struct ExplanationBatch {
    const real *images;      /* [N,H,W,C] normalised, blocked; borrowed until the next run */
    const uint16_t *labels;  /* [N]; not looked at unless split is `train` */
    const uint32_t *items;   /* [N] index in the split, keys what is drawn */
    const uint32_t *classes; /* [N] whose maps are wanted; NULL: as the target says */
    Split split;
    uint64_t seed;
    uint32_t round; /* further key of the start: 0, or the epoch where deltas are made anew */
} ExplanationBatch;

/* context: pool, kernels and weights count. Allocates nothing. */
void explanation_run(Explanation *explanation, const RunContext *context,
                     const ExplanationBatch *batch);
/* Softmax probability of a class for image i of a heat map's batch; 0 where the logits give none.
 */
float explanation_score(const Explanation *explanation, uint32_t i, uint32_t class_index);
/* Image i of the batch into row `image` of a set of the engine's shape; `index`: where the image
 * lies in the data set's files (Loader.index). */
void explanation_put(const Explanation *explanation, uint32_t i, MapSet *set, uint32_t image,
                     int64_t index);

/* --- a whole split --- */

enum { EXPLANATION_BATCH = 64 };

/* Engines for full batches of a split and for the rest. */
typedef struct SplitExplainer {
    const Loader *loader; /* borrowed; without a composer */
    Split split;
    uint32_t images, batch, engines;
    Explanation engine[2];
    size_t bytes; /* of memory that a run needs, beside the network and the set */
} SplitExplainer;

CHECKED Status split_explainer_init(SplitExplainer *explainer, const Network *network,
                                    const Loader *loader, Split split, const ExplanationSpec *spec,
                                    uint32_t batch, Error *err);
void split_explainer_clear(SplitExplainer *explainer);
/*
 * Explains the split's images from number `first` on into `set` (mapset_new() of
 * explanation_shape()); a failure names nothing but STATUS_STOPPED. `progress` (NULL is fine) hears
 * how many images are done after each batch; everything up to there is in the set, so that a run
 * can go on from a multiple of the batch to the same bits. memory: explainer->bytes.
 */
CHECKED Status split_explainer_run(SplitExplainer *explainer, const RunContext *context,
                                   uint64_t seed, uint32_t round, uint32_t first, void *memory,
                                   const atomic_int *stop,
                                   void (*progress)(void *context, uint32_t images),
                                   void *progress_context, MapSet *set, Error *err);

/* --- a checkpoint --- */

typedef struct ExplainSpec {
    const char *path; /* of the checkpoint */
    DataSpec data;
    ExplanationSpec explanation;
    uint32_t batch_size; /* 0: EXPLANATION_BATCH */
    uint64_t seed;
} ExplainSpec;

/* The memory that explain_checkpoint() takes for its largest split, its result included.
 * STATUS_INVALID where the checkpoint does not fit the data set ("/checkpoint") or X does not fit
 * the model ("/explanation/..."). */
CHECKED Status explain_estimate(const ExplainSpec *spec, const Dataset *dataset,
                                uint64_t *ret_bytes, Error *err);
/* All images of one split; mapset_clear() the result. Images are normalised as the checkpoint says,
 * not augmented. STATUS_STOPPED as *stop asks (a StopRequest; NULL: never). */
CHECKED Status explain_checkpoint(const ExplainSpec *spec, const Dataset *dataset, Split split,
                                  Pool *pool, const atomic_int *stop,
                                  void (*progress)(void *context, uint32_t images),
                                  void *progress_context, MapSet *ret, Error *err);
