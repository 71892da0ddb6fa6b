/*
 * A network in a safetensors file: tensors under torchvision's names in PyTorch's order, so that
 * load_state_dict() takes them, and the model's description in the metadata, so that a file alone
 * is enough to rebuild it.
 */
#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/nn/network.h"

enum {
    INPUT_CHANNELS_MAX = 3 * 1000 + 3, /* an image and its maps of 1,000 classes */
    NORMALISED_CHANNELS = 4,           /* of Network.mean; further ones are maps */
};

/* Where the next text goes, after `text` was written there. */
static const char *keep_text(NetworkMeta *meta, size_t length)
{
    const char *text = meta->text + meta->used;

    meta->used += length + 1;
    return text;
}

void network_meta_add(NetworkMeta *meta, const char *key, const char *format, ...)
{
    StMeta *row = &meta->row[meta->count];
    size_t length = strlen(key);
    va_list args;

    assert(meta->count < NETWORK_META_MAX);
    assert(meta->used + length + 1 + CHOICE_TEXT_MAX <= sizeof meta->text);
    memcpy(meta->text + meta->used, key, length + 1);
    row->key = keep_text(meta, length);
    va_start(args, format);
    vsnprintf(meta->text + meta->used, CHOICE_TEXT_MAX, format, args);
    va_end(args);
    row->value = keep_text(meta, strlen(meta->text + meta->used));
    meta->count++;
}

void network_meta(const Network *network, NetworkMeta *meta)
{
    const Described *model = &model_table[network->model.row]->described;
    char key[64];

    network_meta_add(meta, "format", "leased/%d", NETWORK_FORMAT_VERSION);
    network_meta_add(meta, "model", "%s", model->name);
    for (uint32_t i = 0; i < model->count; i++) {
        const Param *p = &model->params[i];

        snprintf(key, sizeof key, "model.%.40s", p->name);
        if (p->type == PARAM_ENUM)
            network_meta_add(meta, key, "%s", p->choices[(int)network->model.value[i]]);
        else if (p->type == PARAM_TEXT)
            network_meta_add(meta, key, "%s", network->model.text);
        else
            network_meta_add(meta, key, "%.17g", network->model.value[i]);
    }
    network_meta_add(meta, "input.height", "%u", network->input.height);
    network_meta_add(meta, "input.width", "%u", network->input.width);
    network_meta_add(meta, "input.channels", "%u", network->input.channels);
    network_meta_add(meta, "classes", "%u", network->input.classes);
    for (uint32_t c = 0; c < network->input.channels && c < NORMALISED_CHANNELS; c++) {
        snprintf(key, sizeof key, "mean.%u", c);
        network_meta_add(meta, key, "%.9g", (double)network->mean[c]);
        snprintf(key, sizeof key, "std.%u", c);
        network_meta_add(meta, key, "%.9g", (double)network->std[c]);
    }
}

/* The counter that PyTorch keeps beside a running mean: its name, or false for other weights. */
bool weight_counter_name(const GraphWeight *w, char ret[GRAPH_WEIGHT_NAME_MAX])
{
    static const char mean[] = ".running_mean";
    size_t length = strlen(w->name), stem = length - (sizeof mean - 1);

    if (w->spec.role != WEIGHT_STATISTIC || length < sizeof mean ||
        strcmp(w->name + stem, mean) != 0)
        return false;
    snprintf(ret, GRAPH_WEIGHT_NAME_MAX, "%.*s.num_batches_tracked", (int)(stem < 70 ? stem : 70),
             w->name);
    return true;
}

/* Weights, and a counter for each batch norm. */
uint32_t network_tensor_count(const Network *network)
{
    uint32_t count = network->graph.weights;
    char name[GRAPH_WEIGHT_NAME_MAX];

    for (uint32_t i = 0; i < network->graph.weights; i++)
        count += weight_counter_name(&network->graph.weight[i], name);
    return count;
}

uint32_t network_tensors(const Network *network, float *disk, StTensor *ret,
                         char (*names)[GRAPH_WEIGHT_NAME_MAX])
{
    const Graph *g = &network->graph;
    uint32_t count = 0;

    for (uint32_t i = 0; i < g->weights; i++) {
        const GraphWeight *w = &g->weight[i];
        StTensor t = {
            .name = w->name, .dtype = ST_F32, .rank = w->spec.shape.rank, .count = w->count
        };

        for (uint32_t k = 0; k < t.rank; k++)
            t.dim[k] = w->spec.shape.dim[k];
        weight_to_disk(w, network->weights + w->offset, disk + w->offset);
        t.data = disk + w->offset;
        ret[count++] = t;
    }
    for (uint32_t i = 0; i < g->weights; i++) {
        if (!weight_counter_name(&g->weight[i], names[count]))
            continue;
        ret[count] = (StTensor){
            .name = names[count], .dtype = ST_I64, .data = &network->batches, .count = 1
        };
        count++;
    }
    return count;
}

static Status meta_number(const StFile *file, const char *key, double lo, double hi, double *ret,
                          Error *err)
{
    const char *text = safetensors_metadata(file, key);
    char *end = NULL;
    double value;

    if (text == NULL)
        return error_set(err, STATUS_CORRUPT, "the checkpoint's metadata lacks \"%s\"", key);
    errno = 0;
    value = strtod(text, &end);
    if (errno != 0 || end == text || *end != '\0' || !(value >= lo && value <= hi))
        return error_set(
            err, STATUS_CORRUPT,
            "the checkpoint's metadata has \"%s\" = \"%.60s\", which is not a number from %g to %g",
            key, text, lo, hi);
    *ret = value;
    return STATUS_OK;
}

/* One of the model's parameters: a text into `ret_text`, everything else into `ret`. */
static Status read_param(const StFile *file, const char *key, const Param *p, double *ret,
                         char ret_text[CHOICE_TEXT_MAX], Error *err)
{
    const char *text = safetensors_metadata(file, key);
    double value = 0;
    Error why = { 0 };
    Status s = STATUS_OK;

    if (p->type == PARAM_TEXT) {
        if (strlen(text) >= CHOICE_TEXT_MAX)
            return error_set(err, STATUS_CORRUPT,
                             "the checkpoint's metadata has more than %d bytes of \"%s\"",
                             CHOICE_TEXT_MAX - 1, key);
        snprintf(ret_text, CHOICE_TEXT_MAX, "%s", text);
        return STATUS_OK;
    }
    if (p->type == PARAM_ENUM)
        value = param_choice(p, text);
    else
        s = meta_number(file, key, -HUGE_VAL, HUGE_VAL, &value, err);
    if (s != STATUS_OK)
        return s;
    if (param_check(p, value, &why) != STATUS_OK)
        return error_set(err, STATUS_CORRUPT,
                         "the checkpoint's metadata has \"%s\" = \"%.60s\", which %.160s", key,
                         text, error_message(&why));
    *ret = value;
    return STATUS_OK;
}

/* A parameter that the file does not name is younger than the file, and has its default. */
static Status read_model(const StFile *file, Choice *ret, Error *err)
{
    const char *name = safetensors_metadata(file, "model");
    int row = name == NULL ? -1 : table_find(model_table, name);
    const Described *model;

    if (row < 0)
        return error_set(err, STATUS_CORRUPT, "the checkpoint names no model that is known here");
    model = &model_table[row]->described;
    choice_init(model_table, (uint32_t)row, ret);
    for (uint32_t i = 0; i < model->count; i++) {
        const Param *p = &model->params[i];
        char key[64];
        Status s = STATUS_OK;

        snprintf(key, sizeof key, "model.%.40s", p->name);
        if (safetensors_metadata(file, key) != NULL)
            s = read_param(file, key, p, &ret->value[i], ret->text, err);
        if (s != STATUS_OK)
            return s;
    }
    return STATUS_OK;
}

static Status read_input(const StFile *file, ModelInput *ret, float mean[4], float std[4],
                         Error *err)
{
    const struct {
        const char *key;
        double max;
        uint32_t *value;
    } sizes[] = { { "input.height", 4096, &ret->height },
                  { "input.width", 4096, &ret->width },
                  { "input.channels", INPUT_CHANNELS_MAX, &ret->channels },
                  { "classes", 65536, &ret->classes } };
    double number = 0;
    Status s;

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        s = meta_number(file, sizes[i].key, 1, sizes[i].max, &number, err);
        if (s != STATUS_OK)
            return s;
        if (number != floor(number))
            return error_set(err, STATUS_CORRUPT,
                             "the checkpoint's metadata has a \"%s\" that is no integer",
                             sizes[i].key);
        *sizes[i].value = (uint32_t)number;
    }
    for (uint32_t c = 0; c < ret->channels && c < NORMALISED_CHANNELS; c++) {
        char key[32];

        snprintf(key, sizeof key, "mean.%u", c);
        s = meta_number(file, key, -1e6, 1e6, &number, err);
        if (s != STATUS_OK)
            return s;
        mean[c] = (float)number;
        snprintf(key, sizeof key, "std.%u", c);
        s = meta_number(file, key, 1e-6, 1e6, &number, err);
        if (s != STATUS_OK)
            return s;
        std[c] = (float)number;
    }
    return STATUS_OK;
}

static void shape_text(char text[64], uint32_t rank, const uint64_t *dim)
{
    size_t used = 1;

    text[0] = '[';
    text[1] = '\0';
    for (uint32_t i = 0; i < rank && used < 60; i++)
        used += (size_t)snprintf(text + used, 64 - used, "%s%llu", i > 0 ? "," : "",
                                 (unsigned long long)dim[i]);
    snprintf(text + (used < 62 ? used : 62), 2, "]");
}

/* The tensor for `w`, if it is there with the right type and shape. */
static Status find_weight(const StFile *file, const GraphWeight *w, const StTensor **ret,
                          Error *err)
{
    const StTensor *t = safetensors_find(file, w->name);
    uint64_t want[ST_RANK_MAX] = { 0 };
    char have_text[64], want_text[64];
    bool same;

    if (t == NULL)
        return error_set(err, STATUS_CORRUPT, "the checkpoint lacks the tensor \"%s\"", w->name);
    same = t->dtype == ST_F32 && t->rank == w->spec.shape.rank;
    for (uint32_t k = 0; k < w->spec.shape.rank; k++) {
        want[k] = w->spec.shape.dim[k];
        same = same && t->dim[k] == want[k];
    }
    if (same) {
        *ret = t;
        return STATUS_OK;
    }
    shape_text(have_text, t->rank, t->dim);
    shape_text(want_text, w->spec.shape.rank, want);
    return error_set(err, STATUS_CORRUPT,
                     "the checkpoint's tensor \"%s\" is %s %s, the model wants F32 %s", w->name,
                     safetensors_dtype(t->dtype), have_text, want_text);
}

/* Of the weights' optimiser, or of the architecture's. */
static bool is_optimizer_state(const char *name)
{
    return strncmp(name, "optimizer.", strlen("optimizer.")) == 0 ||
           strncmp(name, "alpha.", strlen("alpha.")) == 0;
}

/* Whether the model has a tensor of this name. */
static bool is_known(const Network *network, const char *name)
{
    const Graph *g = &network->graph;
    char counter[GRAPH_WEIGHT_NAME_MAX];

    for (uint32_t i = 0; i < g->weights; i++)
        if (strcmp(name, g->weight[i].name) == 0)
            return true;
    for (uint32_t i = 0; i < g->weights; i++)
        if (weight_counter_name(&g->weight[i], counter) && strcmp(name, counter) == 0)
            return true;
    return false;
}

/* The name of a tensor that is neither the network's nor an optimiser's, or NULL. All weights are
 * known to be there and names are unique, so counting tells; only a stranger is searched for. */
static const char *find_stranger(const Network *network, const StFile *file)
{
    const Graph *g = &network->graph;
    size_t expected = g->weights, others = 0;
    char counter[GRAPH_WEIGHT_NAME_MAX];

    for (uint32_t i = 0; i < g->weights; i++)
        expected +=
            weight_counter_name(&g->weight[i], counter) && safetensors_find(file, counter) != NULL;
    for (size_t i = 0; i < safetensors_count(file); i++)
        others += !is_optimizer_state(safetensors_at(file, i)->name);
    for (size_t i = 0; i < safetensors_count(file) && others != expected; i++) {
        const char *name = safetensors_at(file, i)->name;

        if (!is_optimizer_state(name) && !is_known(network, name))
            return name;
    }
    return NULL;
}

/* Whether the file's tensors are the network's: every one of them, of the same shapes, and no
 * other. */
static Status check_tensors(const Network *network, const StFile *file, Error *err)
{
    const Graph *g = &network->graph;
    const StTensor *t = NULL;
    const char *stranger;

    for (uint32_t i = 0; i < g->weights; i++) {
        Status s = find_weight(file, &g->weight[i], &t, err);

        if (s != STATUS_OK)
            return s;
    }
    stranger = find_stranger(network, file);
    if (stranger != NULL)
        return error_set(err, STATUS_CORRUPT,
                         "the checkpoint has a tensor \"%.80s\", which the model has not",
                         stranger);
    return STATUS_OK;
}

Status network_read_weights(Network *network, const StFile *file, Error *err)
{
    const Graph *g = &network->graph;
    const StTensor *t = NULL;
    Status s = check_tensors(network, file, err);

    if (s != STATUS_OK)
        return s;
    for (uint32_t i = 0; i < g->weights; i++)
        if (find_weight(file, &g->weight[i], &t, err) == STATUS_OK)
            weight_from_disk(&g->weight[i], t->data, network->weights + g->weight[i].offset);
    for (uint32_t i = 0; i < g->weights; i++) {
        char name[GRAPH_WEIGHT_NAME_MAX];

        t = weight_counter_name(&g->weight[i], name) ? safetensors_find(file, name) : NULL;
        if (t != NULL && t->dtype == ST_I64 && t->count == 1)
            memcpy(&network->batches, t->data, sizeof network->batches);
    }
    return STATUS_OK;
}

Status network_describe(Network *network, const StFile *file, Error *err)
{
    const char *format = safetensors_metadata(file, "format");
    char known[32];
    Choice model = { 0 };
    ModelInput input = { 0 };
    float mean[4] = { 0 }, std[4] = { 1, 1, 1, 1 };
    Status s;

    snprintf(known, sizeof known, "leased/%d", NETWORK_FORMAT_VERSION);
    if (format == NULL || strcmp(format, known) != 0)
        return error_set(err, STATUS_CORRUPT,
                         "the checkpoint's format is \"%.40s\", known here is \"%s\"",
                         format == NULL ? "none" : format, known);
    s = read_model(file, &model, err);
    if (s == STATUS_OK)
        s = read_input(file, &input, mean, std, err);
    if (s == STATUS_OK)
        s = network_init(network, &model, &input, err);
    if (s != STATUS_OK)
        return s;
    memcpy(network->mean, mean, sizeof mean);
    memcpy(network->std, std, sizeof std);
    return STATUS_OK;
}

Status network_read(Network *network, const StFile *file, Error *err)
{
    Network made = { 0 };
    Status s = network_describe(&made, file, err);

    if (s == STATUS_OK) /* a description alone takes no memory that the file's tensors do not */
        s = check_tensors(&made, file, err);
    if (s == STATUS_OK)
        s = network_take_weights(&made, err);
    if (s == STATUS_OK)
        s = network_read_weights(&made, file, err);
    if (s != STATUS_OK)
        network_clear(&made);
    else
        *network = made;
    return s;
}
