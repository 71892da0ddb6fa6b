/*
 * explanation -- what a network says of its images, batch by batch: deltas of an attack or heat
 * maps (step 2 of LeaSE). The specification is X of the API.
 *
 * The network runs in eval mode and nothing of it changes. A label is looked at only in the split
 * `train`, and only where the target is the label: on validation and test images the target is the
 * network's own prediction, so that an explanation never carries what it is to be judged by. The
 * prediction is the softmax for attacks and the class with the largest logit for heat maps.
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

enum { EXPLANATION_LAYER_MAX = 64 };

typedef struct ExplanationSpec {
    uint32_t source; /* index into explanation_sources */
    /* Of attacks: see core/explain/attack.h. step_size 0: the row's formula (JSON null). `start`
     * zero is refused for explaining: the gradient towards the own prediction is zero there. */
    double eps, step_size;
    uint32_t steps, start;
    uint32_t target, classes;          /* ExplanationTarget; ExplanationClasses, of heat maps */
    char layer[EXPLANATION_LAYER_MAX]; /* of heat maps; "": the model's default */
    /* How the explanation meets its image: nothing to this file, but part of X. */
    ReweightSpec reweight;
} ExplanationSpec;

/* Index of "pgd_l2" and the like, or -1. */
int explanation_find(const char *source);
bool explanation_is_attack(uint32_t source);
/* The defaults of X for a source: an attack's own eps, steps and so on, and what reweighting suits.
 */
ExplanationSpec explanation_default(uint32_t source);
/* The attack's row and parameters. */
Choice explanation_attack(const ExplanationSpec *spec);

/*
 * Whether these images can be explained so, by pointers below X: "/eps", "/steps", "/step_size",
 * "/start", "/f" out of range; "/layer": no such layer (the message lists them), or one that the
 * method cannot use (CAM: it names the one it can); "/source": the method does not fit the model.
 */
CHECKED Status explanation_check(const ExplanationSpec *spec, const Network *network, Error *err);
/* Kind, maps, height and width of what comes out; `images` as given. */
MapShape explanation_shape(const ExplanationSpec *spec, const Network *network, uint32_t images);

/* An engine for batches of a fixed size. Belongs to one thread at a time. */
typedef struct Explanation {
    const Network *network; /* borrowed */
    ExplanationSpec spec;
    uint32_t images;
    MapShape shape;
    Attacker attacker; /* of an attack */
    Plan plan;         /* of a heat map: to the logits, and back to the layer */
    const Cam *cam;
    NodeId layer;
    CamHead head;                   /* the linear head behind the layer, if it has one */
    size_t work_bytes, state_bytes; /* see explanation_bind() */

    /* Bound memory: the results of the last explanation_run(). */
    const real *delta;   /* of an attack: [N,H,W,C] blocked, pixel space */
    float *maps;         /* of a heat map: [N,K,h,w] after the ReLU, never NaN */
    uint32_t *predicted; /* [N] of a heat map: the class of the largest logit */
    uint32_t *wanted;    /* [N] the classes whose maps these are, unless all */
    real *targets;
    float *room;
    void *forward; /* the plan's memory behind its forward pass, for the next class */
} Explanation;

/* Plans; takes no tensor memory. Errors as explanation_check(). */
CHECKED Status explanation_init(Explanation *explanation, const Network *network,
                                const ExplanationSpec *spec, uint32_t images, Error *err);
void explanation_clear(Explanation *explanation);
/* work: work_bytes, which others may use between two runs; state: state_bytes, where the results
 * are. Both borrowed, aligned as an arena's. */
void explanation_bind(Explanation *explanation, void *work, void *state);

typedef struct ExplanationBatch {
    const real *images;     /* [N,H,W,C] normalised, blocked; borrowed until the next run */
    const uint16_t *labels; /* [N]; not looked at unless split is `train` */
    const uint32_t *items;  /* [N] index in the split, keys an attack's start */
    Split split;
    uint64_t seed;
    uint32_t round; /* further key of the start: 0, or the epoch where deltas are made anew */
} ExplanationBatch;

/* context: pool, kernels and weights count. Allocates nothing. */
void explanation_run(Explanation *explanation, const RunContext *context,
                     const ExplanationBatch *batch);
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
