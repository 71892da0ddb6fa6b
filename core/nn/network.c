/* Building and initialising; the file format is network_file.c. */
#include "core/nn/network.h"

#include <string.h>

#include "core/base/rng.h"

/* loss + weight * loss of the auxiliary head. */
static NodeId with_auxiliary(Network *n, const ModelEnds *ends)
{
    NodeId loss = graph_node(&n->graph, "cross_entropy", "", ends->auxiliary, n->target, NULL);

    loss = graph_node(&n->graph, "scale", "", loss, NODE_NONE,
                      GRAPH_PARAMS({ "factor", ends->auxiliary_weight }));
    return graph_node(&n->graph, "add", "", n->loss, loss, NULL);
}

Status network_init(Network *network, const Choice *model, const ModelInput *input, Error *err)
{
    Network n = { .model = *model, .input = *input };
    ModelEnds ends;
    Status s;

    graph_init(&n.graph);
    n.image =
        graph_input(&n.graph, "image", shape4(1, input->height, input->width, input->channels));
    n.target = graph_input(&n.graph, "target", shape2(1, input->classes));
    ends = model_table[model->row]->build(model, input, n.image, &n.graph);
    n.logits = ends.logits;
    n.map = ends.map;
    n.loss = n.training_loss = graph_node(&n.graph, "cross_entropy", "", n.logits, n.target, NULL);
    if (ends.auxiliary != NODE_NONE)
        n.training_loss = with_auxiliary(&n, &ends);
    s = graph_status(&n.graph, err);
    if (s != STATUS_OK) {
        graph_clear(&n.graph);
        return s;
    }
    for (int c = 0; c < 4; c++)
        n.std[c] = 1;
    *network = n;
    return STATUS_OK;
}

Status network_take_weights(Network *network, Error *err)
{
    size_t bytes = network->graph.weight_numbers * sizeof(real);
    Status s = arena_init(&network->arena, arena_round(bytes), err);

    if (s == STATUS_OK)
        network->weights = arena_take(&network->arena, bytes);
    return s;
}

/* The first outputs of a convolution repeat their inputs: 1 at the kernel's centre, else 0. */
static void repeat_inputs(const GraphWeight *w, real *p)
{
    const uint32_t *dim = w->spec.shape.dim; /* [O,I,kH,kW]; in memory [kH,kW,I,O] */
    uint32_t most = dim[0] < dim[1] ? dim[0] : dim[1], centre = dim[2] / 2 * dim[3] + dim[3] / 2;

    for (uint32_t tap = 0; tap < dim[2] * dim[3]; tap++)
        for (uint32_t i = 0; i < dim[1]; i++)
            for (uint32_t o = 0; o < most; o++)
                p[((size_t)tap * dim[1] + i) * dim[0] + o] = tap == centre && i == o;
}

static void weight_randomise(const GraphWeight *w, Rng *rng, real *p)
{
    real bound = w->spec.fan_in == 0 ? 0 : (real)(1 / sqrt((double)w->spec.fan_in));

    for (size_t k = 0; k < w->count; k++) {
        switch (w->spec.init) {
        case INIT_ZERO:
        case INIT_ONE:
            p[k] = w->spec.init == INIT_ONE;
            break;
        case INIT_UNIFORM:
        case INIT_DIRAC:
        case INIT_WHITEN:
            p[k] = bound * (2 * (real)rng_uniform(rng) - 1);
            break;
        case INIT_MILLI:
            p[k] = (real)0.001 * (real)rng_normal(rng);
            break;
        }
    }
    if (w->spec.init == INIT_DIRAC)
        repeat_inputs(w, p);
}

void network_randomise(Network *network, uint64_t seed)
{
    for (uint32_t i = 0; i < network->graph.weights; i++) {
        const GraphWeight *w = &network->graph.weight[i];
        Rng rng = rng_at(seed, RNG_INIT, 0, i);

        weight_randomise(w, &rng, network->weights + w->offset);
    }
    network->batches = 0;
}

void network_clear(Network *network)
{
    graph_clear(&network->graph);
    arena_clear(&network->arena);
    *network = (Network){ 0 };
}

/* Strides in memory of the disk's four dimensions [O,I,kH,kW] (or [O,I]). */
static void memory_strides(const GraphWeight *w, size_t dim[4], size_t stride[4])
{
    const Shape *s = &w->spec.shape;

    for (int i = 0; i < 4; i++)
        dim[i] = s->dim[i];
    if (w->spec.layout == WEIGHT_CONV) {
        stride[0] = 1;
        stride[1] = dim[0];
        stride[3] = dim[0] * dim[1];
        stride[2] = stride[3] * dim[3];
    } else if (w->spec.layout == WEIGHT_LINEAR) {
        stride[0] = 1;
        stride[1] = dim[0];
        stride[2] = stride[3] = 0;
    } else {
        stride[0] = dim[1] * dim[2] * dim[3];
        stride[1] = dim[2] * dim[3];
        stride[2] = dim[3];
        stride[3] = 1;
    }
}

/* Calls for every element: its place on disk counts up, its place in memory is computed. */
#define EACH_ELEMENT(weight, disk_at, memory_at, statement)                                        \
    do {                                                                                           \
        size_t dim_[4], stride_[4], disk_at = 0;                                                   \
        memory_strides(weight, dim_, stride_);                                                     \
        for (size_t a_ = 0; a_ < dim_[0]; a_++)                                                    \
            for (size_t b_ = 0; b_ < dim_[1]; b_++)                                                \
                for (size_t c_ = 0; c_ < dim_[2]; c_++)                                            \
                    for (size_t d_ = 0; d_ < dim_[3]; d_++, disk_at++) {                           \
                        size_t memory_at =                                                         \
                            a_ * stride_[0] + b_ * stride_[1] + c_ * stride_[2] + d_ * stride_[3]; \
                        statement;                                                                 \
                    }                                                                              \
    } while (0)

void weight_to_disk(const GraphWeight *weight, const real *memory, float *ret)
{
    EACH_ELEMENT(weight, at, from, ret[at] = (float)memory[from]);
}

void weight_from_disk(const GraphWeight *weight, const float *disk, real *ret)
{
    EACH_ELEMENT(weight, at, to, ret[to] = (real)disk[at]);
}
