/* The order of everything here is that of make_resnet.py and make_models.py. */
#include "tests/golden/rig.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/golden/closed_form.h"

enum { WHOLE = 1000 }; /* numbers; larger arrays may be thinned out */

void rig_ok(Status s, const Error *err)
{
    if (s != STATUS_OK)
        fail_msg("%s: %s", status_name(s), error_message(err));
}

Choice rig_choose(const void *table, const char *row)
{
    Choice c;
    int i = table_find(table, row);

    assert_true(i >= 0);
    choice_init(table, (uint32_t)i, &c);
    return c;
}

void rig_set(Choice *c, const void *table, const char *param, double value)
{
    int i = param_find(((const Described *const *)table)[c->row], param);

    assert_true(i >= 0);
    c->value[i] = value;
}

static double param_value(const Param *p, const char *text, Choice *choice)
{
    double value = 0;

    if (p->type == PARAM_TEXT)
        snprintf(choice->text, sizeof(choice->text), "%s", text);
    else if (p->type == PARAM_ENUM)
        value = param_choice(p, text);
    else
        value = strtod(text, NULL);
    if (value < 0 || param_check(p, value, NULL) != STATUS_OK)
        fail_msg("the golden file's metadata has \"model.%s\" = \"%s\"", p->name, text);
    return value;
}

void rig_model(const StFile *file, Choice *ret)
{
    const char *name = safetensors_metadata(file, "model");
    int row = name ? table_find(model_table, name) : -1;
    const Described *model;

    if (row < 0)
        fail_msg("the golden file is about no known model");
    model = &model_table[row]->described;
    choice_init(model_table, (uint32_t)row, ret);
    for (size_t i = 0; i < safetensors_metadata_count(file); i++) {
        StMeta meta = safetensors_metadata_at(file, i);
        int param;

        if (strncmp(meta.key, "model.", strlen("model.")) != 0)
            continue;
        param = param_find(model, meta.key + strlen("model."));
        if (param < 0)
            fail_msg("%s has no parameter \"%s\"", name, meta.key);
        ret->value[param] = param_value(&model->params[param], meta.value, ret);
    }
}

void rig_fill_weights(const Network *network, uint32_t seed)
{
    const Graph *g = &network->graph;

    for (uint32_t i = 0; i < g->weights; i++) {
        const GraphWeight *w = &g->weight[i];
        float *disk = malloc(w->count * sizeof(*disk)), offset, scale;
        uint64_t dim[SHAPE_RANK_MAX];

        assert_non_null(disk);
        for (int d = 0; d < SHAPE_RANK_MAX; d++)
            dim[d] = w->spec.shape.dim[d];
        closed_form_state(w->name, w->spec.shape.rank, dim, &offset, &scale);
        closed_form(seed, w->name, w->count, offset, scale, disk);
        weight_from_disk(w, disk, network->weights + w->offset);
        free(disk);
    }
}

static void take_memory(Rig *rig)
{
    size_t numbers = rig->network.graph.weight_numbers * sizeof(real);
    Error err = { 0 };

    rig_ok(arena_init(&rig->memory, arena_round(rig->plan.bytes) + 2 * arena_round(numbers), &err),
           &err);
    plan_bind(&rig->plan, arena_take(&rig->memory, rig->plan.bytes));
    rig->gradients = arena_take(&rig->memory, numbers);
    rig->momenta = arena_take(&rig->memory, numbers);
}

void rig_init(Rig *rig, const StFile *file, const Choice *model, uint32_t seed,
              const Kernels *kernels)
{
    PlanSpec spec = { .training = true,
                      .gradients = GRADIENT_TRAINED | GRADIENT_ARCHITECTURE,
                      .gradient_to = NODE_NONE };
    Error err = { 0 };

    *rig = (Rig){ .seed = seed,
                  .images = golden_number(file, "images"),
                  .size = golden_number(file, "size"),
                  .channels = golden_number(file, "channels"),
                  .classes = golden_number(file, "classes") };
    rig_ok(network_init(&rig->network, model,
                        &(ModelInput){ rig->size, rig->size, rig->channels, rig->classes }, &err),
           &err);
    rig_ok(network_take_weights(&rig->network, &err), &err);
    rig_fill_weights(&rig->network, rig->seed);
    spec.images = rig->images;
    spec.output = rig->network.training_loss;
    spec.keep[0] = rig->network.logits;
    spec.keep[1] = NODE_NONE;
    rig_ok(plan_init(&rig->plan, &rig->network.graph, &spec, &err), &err);
    take_memory(rig);
    rig_ok(pool_new(2, &rig->pool, &err), &err);
    rig->context = (RunContext){ .pool = rig->pool,
                                 .kernels = kernels,
                                 .weights = rig->network.weights,
                                 .gradients = rig->gradients,
                                 .seed = seed };
}

void rig_clear(Rig *rig)
{
    plan_clear(&rig->plan);
    pool_free(rig->pool);
    arena_clear(&rig->memory);
    network_clear(&rig->network);
}

void rig_fill_batch(const Rig *rig, const Plan *plan, uint32_t step)
{
    Tensor image = plan_tensor(plan, rig->network.image);
    size_t count = shape_count(&image.shape);
    float *values = malloc(count * sizeof(*values));
    int32_t *labels = malloc(rig->images * sizeof(*labels));
    char name[32];

    assert_non_null(values);
    assert_non_null(labels);
    snprintf(name, sizeof(name), "images/%u", step);
    closed_form(rig->seed, name, count, 0, 2, values);
    golden_to_blocked(&image.shape, values, image.data);
    snprintf(name, sizeof(name), "labels/%u", step);
    closed_form_labels(rig->seed, name, rig->images, rig->classes, labels);
    if (plan->node[rig->network.target].runs) {
        Tensor target = plan_tensor(plan, rig->network.target);

        memset(target.data, 0, shape_count(&target.shape) * sizeof(real));
        for (uint32_t i = 0; i < rig->images; i++)
            target.data[i * rig->classes + (uint32_t)labels[i]] = 1;
    }
    free(values);
    free(labels);
}

double rig_gradients(Rig *rig, uint32_t step)
{
    const real *loss = plan_tensor(&rig->plan, rig->network.training_loss).data;
    real *gradient = plan_gradient(&rig->plan, rig->network.training_loss).data;
    double sum = 0;

    memset(rig->gradients, 0, rig->network.graph.weight_numbers * sizeof(real));
    rig_fill_batch(rig, &rig->plan, step);
    run_forward(&rig->plan, &rig->context);
    for (uint32_t i = 0; i < rig->images; i++) {
        sum += (double)loss[i];
        gradient[i] = 1 / (real)rig->images;
    }
    run_backward(&rig->plan, &rig->context);
    return sum / rig->images;
}

uint32_t rig_weights_close(const Rig *rig, const StFile *file, WeightRole role, const real *numbers,
                           const char *prefix, uint32_t every, double bound)
{
    const Graph *g = &rig->network.graph;
    uint32_t seen = 0;

    for (uint32_t i = 0; i < g->weights; i++) {
        const GraphWeight *w = &g->weight[i];
        uint32_t step = w->count > WHOLE ? every : 1;
        size_t count = (w->count + step - 1) / step;
        real *ordered = malloc(w->count * sizeof(*ordered));
        char name[128];

        assert_non_null(ordered);
        snprintf(name, sizeof(name), "%s%s", prefix, w->name);
        golden_from_memory(&w->spec, numbers + w->offset, ordered);
        if (w->spec.role == role) {
            golden_close(name, ordered, golden_array(file, name, count), count, step, bound);
            seen++;
        }
        free(ordered);
    }
    return seen;
}

void rig_loss_close(const char *what, double got, float want, double bound)
{
    if (!(fabs(got - (double)want) <= bound * fabs((double)want)))
        fail_msg("%s: loss %.9g, PyTorch's %.9g", what, got, (double)want);
}
