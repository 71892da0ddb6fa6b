/*
 * Whole networks against PyTorch: loss, logits, every gradient, running statistics of one training
 * step, and the logits in eval mode after it. On every kernel family, by the bounds of README.md;
 * in the double-precision build nothing may stray at all.
 *
 * To add a network: make its file (the top of make_models.py says how) and name it in cases[]
 * below. The file describes network and batch; what it holds (its gradients may have a file of
 * their own) must be all that the network has: gradients of trained and architecture weights, and
 * running statistics.
 */
#include "tests/golden/rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef LEASED_REAL64
static const double bound_value = 1e-6, bound_gradient = 1e-6;
#else
static const double bound_value = 1e-5, bound_gradient = 1e-4;
#endif

/* arrays/<name>.safetensors */
static const char *const cases[] = {
    "model_resnet18_se", "model_resnet18_eca", "model_resnet9",  "model_airbench94",
    "model_shake_shake", "model_shake_keep",   "cells_darts_v2", "cells_odd",
    "cells_s5",          "cells_s3_se_eca",    "cells_pc_darts",
};

/* The operations that draw, and whose draws PyTorch was handed by the number of their node. */
static const char *const drawing[] = { "shake", "drop_path", "dropout", "noise", NULL };

static bool draws(const Node *node)
{
    for (int i = 0; node->op && drawing[i]; i++)
        if (strcmp(node->op->described.name, drawing[i]) == 0)
            return true;
    return false;
}

/* PyTorch's numbers come from streams that are addressed by node. */
static void nodes_are_those_of(const Graph *g, const StFile *file)
{
    const char *want = safetensors_metadata(file, "nodes");
    char got[4096] = "";
    size_t used = 0;

    for (NodeId i = 0; i < g->nodes && used < sizeof(got); i++)
        if (draws(&g->node[i]))
            used +=
                (size_t)snprintf(got + used, sizeof(got) - used, "%s%u", used > 0 ? " " : "", i);
    assert_non_null(want);
    if (strcmp(got, want) != 0)
        fail_msg("the nodes that draw are now %s, the file was made for %s: make it again", got,
                 want);
}

static void logits_close(const char *name, const StFile *file, const Plan *plan, NodeId logits)
{
    Tensor scores = plan_tensor(plan, logits);
    size_t count = shape_count(&scores.shape);

    golden_close(name, scores.data, golden_array(file, name, count), count, 1, bound_value);
}

static void eval_agrees(const Rig *rig, const StFile *file)
{
    RunContext context = rig->context;
    Arena memory = { 0 };
    Plan plan = { 0 };
    Error err = { 0 };

    rig_ok(plan_init(&plan, &rig->network.graph,
                     &(PlanSpec){ .images = rig->images,
                                  .output = rig->network.logits,
                                  .gradient_to = NODE_NONE,
                                  .keep = { NODE_NONE } },
                     &err),
           &err);
    rig_ok(arena_init(&memory, arena_round(plan.bytes), &err), &err);
    plan_bind(&plan, arena_take(&memory, plan.bytes));
    context.gradients = NULL;
    rig_fill_batch(rig, &plan, 0);
    run_forward(&plan, &context);
    logits_close("eval/logits", file, &plan, rig->network.logits);
    plan_clear(&plan);
    arena_clear(&memory);
}

/* How many arrays of the file begin with `prefix`. */
static uint32_t arrays_of(const StFile *file, const char *prefix)
{
    uint32_t count = 0;

    for (size_t i = 0; i < safetensors_count(file); i++)
        count += strncmp(safetensors_at(file, i)->name, prefix, strlen(prefix)) == 0;
    return count;
}

static void case_agrees(const StFile *file, const StFile *gradients, const Kernels *kernels)
{
    uint32_t every = golden_number(file, "every"), seen;
    Choice model;
    Rig rig;

    rig_model(file, &model);
    rig_init(&rig, file, &model, golden_number(file, "seed"), kernels);
    rig.context.progress = strtod(safetensors_metadata(file, "progress"), NULL);
    nodes_are_those_of(&rig.network.graph, file);
    rig_loss_close("train/loss", rig_gradients(&rig, 0), *golden_array(file, "train/loss", 1),
                   bound_value);
    logits_close("train/logits", file, &rig.plan, rig.network.logits);
    seen = rig_weights_close(&rig, gradients, WEIGHT_TRAINED, rig.gradients, "gradient/", every,
                             bound_gradient);
    seen += rig_weights_close(&rig, gradients, WEIGHT_ARCHITECTURE, rig.gradients, "gradient/",
                              every, bound_gradient);
    assert_int_equal(seen, arrays_of(gradients, "gradient/"));
    seen = rig_weights_close(&rig, file, WEIGHT_STATISTIC, rig.network.weights, "train/", 1,
                             bound_value);
    assert_int_equal(seen + 2, arrays_of(file, "train/"));
    eval_agrees(&rig, file);
    rig_clear(&rig);
}

static void one_step_agrees_with_pytorch(void **state)
{
    const Kernels *const *family = kernels_available();
    StFile *file = golden_open(*state);
    const char *split = safetensors_metadata(file, "gradients");
    StFile *gradients = split ? golden_open(split) : file;

    for (; *family; family++) {
        print_message("# %s\n", (*family)->name);
        case_agrees(file, gradients, *family);
    }
    if (split)
        safetensors_close(gradients);
    safetensors_close(file);
}

int main(void)
{
    enum { CASES = sizeof(cases) / sizeof(*cases) };
    struct CMUnitTest tests[CASES];

    for (int i = 0; i < CASES; i++)
        tests[i] = (struct CMUnitTest){ .name = cases[i],
                                        .test_func = one_step_agrees_with_pytorch,
                                        .initial_state = (void *)cases[i] };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
