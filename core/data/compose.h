/*
 * compose -- the input of a network that learns from explanations: an image and its maps made one
 * tensor (the paper's "grouped reweighted images").
 *
 * Of each image: its maps, normalised ((x - min)/(1e-7 + max(x - min)) of a heat map; deltas as
 * they are), resized to the image's size (bilinear, half-pixel centres), moved as the image is by
 * crop, flip and views, make R_c = R(x, H_c) (core/data/reweight.h). Channels:
 *
 *   maps         3K: R_1's channels, then R_2's, ...; 3 for one map or a delta
 *   image+maps   3K + 3: the image, then those
 *   image        3
 *
 * (3: the image's own number of channels.) Cutout and mixing then act on the composed tensor.
 * Maps of K classes are streamed: nothing of this is ever stored at full size.
 *
 * Controls put maps in the maps' place that explain nothing: `other`: another image's, by a seeded
 * permutation without fixed points within the split; `random`: U(0,1) at map resolution, fixed for
 * (seed, image, class).
 *
 * A Composer is immutable once made; any thread may use it.
 */
#pragma once

#include "core/data/augment.h"
#include "core/data/maps.h"
#include "core/data/reweight.h"

typedef enum ComposeInput { COMPOSE_MAPS, COMPOSE_IMAGE, COMPOSE_IMAGE_MAPS } ComposeInput;
typedef enum ComposeControl { CONTROL_NONE, CONTROL_OTHER, CONTROL_RANDOM } ComposeControl;

/* "maps", "image", "image+maps"; "none", "other", "random". */
extern const char *const compose_inputs[];
extern const char *const compose_controls[];

/* How an image is handed to the network. */
typedef enum ComposeLook {
    LOOK_TRAINED, /* as in training: what `input` and `control` say */
    LOOK_RAW,     /* without explanation: the image; grouped (more than its own channels): all maps
                     ones */
    LOOK_REWEIGHTED, /* with its explanation, or the control's; of `image` as of `maps` */
} ComposeLook;

typedef struct ComposeSpec {
    ComposeInput input;
    ComposeControl control;
    ReweightSpec reweight;
    uint64_t seed;                   /* of the controls */
    const MapSet *maps[SPLIT_COUNT]; /* of every split that has images; borrowed */
} ComposeSpec;

struct Composer {
    ComposeSpec spec;
    ReweightLine line;
    ImageSize image;
    MapShape shape;               /* of each split's maps, `images` apart */
    uint32_t channels;            /* of the composed tensor */
    uint32_t *other[SPLIT_COUNT]; /* control `other`: whose maps each image has; owned */
};

/*
 * Whose input it is: a loader hands composed batches over once it has a composer
 * (loader_set_composer()). STATUS_INVALID: "/maps" (mapset_check(); a split without maps; splits
 * that differ), "/control" (`other` where a split has a single image), "/input" (more than
 * COMPOSE_BYTES_MAX for one image).
 */
enum { COMPOSE_BYTES_MAX = 256 << 20 };
CHECKED Status composer_init(Composer *composer, const Loader *loader, const ComposeSpec *spec,
                             Error *err);
void composer_clear(Composer *composer);

/* Whether images can be looked at in this way: LOOK_REWEIGHTED of `image` has to fit its channels.
 */
bool composer_can(const Composer *composer, ComposeLook look);
/* Working memory of one image on its way. */
size_t composer_scratch_bytes(const Composer *composer);

/* How strong each map is at each pixel, before the image is moved: h of core/data/reweight.h (m for
 * `signed`), [H,W,K] at the image's size, of deltas [H,W,C]. */
void composer_maps(const Composer *composer, Split split, uint32_t item, void *scratch, float *ret);
/* Numbers of those. */
size_t composer_map_numbers(const Composer *composer);
/* image: normalised [H,W,C], already moved; maps: as composer_maps() left them, moved likewise.
 * Writes [H,W,channels]. maps is unused (NULL is fine) where composer_needs_maps() says so. */
void composer_join(const Composer *composer, ComposeLook look, const float *image,
                   const float *maps, float *ret);
bool composer_needs_maps(const Composer *composer, ComposeLook look);
