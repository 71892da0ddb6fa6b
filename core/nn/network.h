/*
 * network -- a model for some data, with its weights: what is trained, stored and explained.
 *
 * The graph has two inputs, the image [N,H,W,C] and the target probabilities [N,K], and ends in
 * each image's loss [N]; plans that stop at the logits leave the loss out. A Network belongs to one
 * thread at a time; its graph may be read by any.
 */
#pragma once

#include "core/base/arena.h"
#include "core/graph/graph.h"
#include "core/nn/model.h"
#include "core/nn/safetensors.h"

typedef struct Network {
    Choice model; /* row of model_table */
    ModelInput input;
    float mean[4], std[4]; /* how its images are normalised; per channel */
    Graph graph;
    NodeId image, target, logits;
    NodeId loss;          /* [N] of the logits */
    NodeId training_loss; /* [N] what training minimises: with the auxiliary head's share, if any */
    NodeId map;           /* where heat maps are taken unless said otherwise */
    Arena arena;
    real *weights;    /* [graph.weight_numbers], as the graph's offsets say */
    uint64_t batches; /* training batches that the running statistics have seen */
} Network;

/* Builds the graph; takes no weight memory yet. STATUS_BAD_SHAPE where the model does not fit the
 * images. */
CHECKED Status network_init(Network *network, const Choice *model, const ModelInput *input,
                            Error *err);
/* Takes the weights' memory, zeroed. */
CHECKED Status network_take_weights(Network *network, Error *err);
/* Draws the weights as PyTorch initialises them; the draws depend on the seed and the weight's
 * number alone. */
void network_randomise(Network *network, uint64_t seed);
void network_clear(Network *network);

/*
 * Weights <-> arrays in PyTorch's order. `from` and `to` may not overlap. `count` numbers either
 * way.
 */
void weight_to_disk(const GraphWeight *weight, const real *memory, float *ret);
void weight_from_disk(const GraphWeight *weight, const float *disk, real *ret);

/* The name that PyTorch gives the counter of batches beside a running mean; false: `weight` is
 * none.
 */
bool weight_counter_name(const GraphWeight *weight, char ret[GRAPH_WEIGHT_NAME_MAX]);

/* The model description and normalisation of a checkpoint; builds the network, and takes no weight
 * memory. A parameter of the model that the file does not name has its default; STATUS_CORRUPT
 * names the key of what is wrong. */
CHECKED Status network_describe(Network *network, const StFile *file, Error *err);
/*
 * The same, and reads its weights. A missing tensor, an unexpected one or another shape is
 * STATUS_CORRUPT, naming the tensor and both shapes.
 */
CHECKED Status network_read(Network *network, const StFile *file, Error *err);
/* As network_read(), into a network that exists already: the model must be the same. */
CHECKED Status network_read_weights(Network *network, const StFile *file, Error *err);

enum {
    NETWORK_FORMAT_VERSION = 1,
    NETWORK_META_MAX = 48,
    NETWORK_META_BYTES = 4 * CHOICE_TEXT_MAX
};

/* Rows of __metadata__, and one after the other the texts they point to: it must not be copied. */
typedef struct NetworkMeta {
    StMeta row[NETWORK_META_MAX];
    uint32_t count;
    size_t used; /* bytes of `text` */
    char text[NETWORK_META_BYTES];
} NetworkMeta;

/* Appends one row; the texts are copied. A value of at most CHOICE_TEXT_MAX - 1 bytes; that all
 * rows fit is the caller's business. */
void network_meta_add(NetworkMeta *meta, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* "format", "model", "model.width", "input.height", "mean.0", ...: what network_read() needs. */
void network_meta(const Network *network, NetworkMeta *meta);
/* The number of tensors network_tensors() fills. */
uint32_t network_tensor_count(const Network *network);
/*
 * Fills ret[] with every weight under its PyTorch name, num_batches_tracked included. `disk` holds
 * the arrays: graph.weight_numbers floats. They, `names` and the network must outlive the write.
 */
uint32_t network_tensors(const Network *network, float *disk, StTensor *ret,
                         char (*names)[GRAPH_WEIGHT_NAME_MAX]);
