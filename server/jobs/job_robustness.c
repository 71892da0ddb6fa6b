/*
 * robustness -- how often a checkpoint's network is right about images that attacks have changed
 * (core/quality/robustness.h), on the first test images.
 *
 * Writes robustness/clean/accuracy and robustness/<attack>/<eps>/accuracy, each with /low and
 * /high, at the checkpoint's step, and result {"images", "clean": {"mean", "low", "high", "n"},
 * "robustness": {attack: {eps: the same}}}.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/explain/attack_table.h"
#include "core/quality/robustness.h"
#include "server/jobs/measure.h"

enum { ATTACKS = 8, BUDGETS = 8, EPS_BYTES = 16 };
_Static_assert(ATTACKS *BUDGETS <= ROBUSTNESS_ATTACKS_MAX, "what is measured at once");

typedef struct AttackParams {
    uint32_t name; /* row of attack_table */
    double eps[BUDGETS];
    uint32_t budgets; /* 0: the attack's own */
    OptionalReal steps, step_size, start;
} AttackParams;

typedef struct Params {
    DataParams data;
    CheckpointRef checkpoint;
    OptionalUint images;
    AttackParams attack[ATTACKS];
    uint32_t attacks;
} Params;

static const char *const attack_names[] = {
#define X(name) #name,
    ATTACK_TABLE(X)
#undef X
        NULL,
};

static const Field attack_fields[] = {
    FIELD_ENUM_ROW(AttackParams, name, "name", 0, attack_names, "which attack"),
    FIELD_NUMBERS_ROW(AttackParams, eps, budgets, "eps", PARAM_REAL, 0, 1000,
                      "budgets, of pixels scaled to 0..1; none: what suits the attack"),
    FIELD_OPTIONAL_ROW(AttackParams, steps, "steps", PARAM_INT, 1, 1000, NULL,
                       "of an attack of many; null: what suits it"),
    FIELD_OPTIONAL_ROW(AttackParams, step_size, "step_size", PARAM_REAL, 0, 1000, NULL,
                       "of such an attack; null: by eps and steps"),
    FIELD_OPTIONAL_ROW(AttackParams, start, "start", PARAM_ENUM, 0, 0, attack_starts,
                       "where it starts; null: what suits it"),
};

static const Field fields[] = {
    DATA_FIELD_ROWS(Params),
    FIELD_CHECKPOINT_ROW(Params, checkpoint, "checkpoint", FIELD_REQUIRED,
                         "the checkpoint of a finished job"),
    FIELD_UINT_ROW(Params, images, "images", 1, 1e9,
                   "the first N test images; null: 1000, or all there are"),
    FIELD_LIST_ROW(Params, attack, attacks, "attacks", attack_fields, "attacks and their budgets"),
};

/* --- what is asked for --- */

/* As it stands in the metric's key. */
static void eps_text(double eps, char ret[EPS_BYTES])
{
    snprintf(ret, EPS_BYTES, "%.6g", eps);
}

/* One budget of one attack; `pointer` is the attack's. */
static Status choice_of(const AttackParams *a, double eps, const char *pointer, Choice *ret,
                        Error *err)
{
    const Described *row = &attack_table[a->name]->described;
    const struct {
        uint32_t param;
        const char *name;
        OptionalReal value;
    } given[] = { { ATTACK_START, "start", a->start },
                  { ATTACK_STEPS, "steps", a->steps },
                  { ATTACK_STEP_SIZE, "step_size", a->step_size } };

    choice_init(attack_table, a->name, ret);
    ret->value[ATTACK_EPS] = eps;
    for (size_t i = 0; i < sizeof given / sizeof *given; i++) {
        char at[64];

        if (!given[i].value.set)
            continue;
        snprintf(at, sizeof at, "%s/%s", pointer, given[i].name);
        if (given[i].param >= row->count)
            return error_at(err, STATUS_INVALID, at, "\"%s\" takes one step", row->name);
        ret->value[given[i].param] = given[i].value.value;
    }
    return STATUS_OK;
}

/* Whether another budget would have the same metric's key. */
static bool is_repeated(const Params *p, uint32_t attack, uint32_t budget)
{
    char mine[EPS_BYTES], other[EPS_BYTES];

    eps_text(p->attack[attack].eps[budget], mine);
    for (uint32_t i = 0; i <= attack; i++) {
        uint32_t end = i < attack ? p->attack[i].budgets : budget;

        for (uint32_t k = 0; k < end && p->attack[i].name == p->attack[attack].name; k++) {
            eps_text(p->attack[i].eps[k], other);
            if (strcmp(mine, other) == 0)
                return true;
        }
    }
    return false;
}

/* All budgets in their order, once they are completed; *ret is to be freed. */
static Status list_choices(const Params *p, Choice **ret, uint32_t *ret_count, Error *err)
{
    Choice *list = calloc(ROBUSTNESS_ATTACKS_MAX, sizeof *list);
    uint32_t count = 0;
    Status s =
        list == NULL ? error_set(err, STATUS_NO_MEMORY, "cannot allocate attacks") : STATUS_OK;

    for (uint32_t i = 0; i < p->attacks && s == STATUS_OK; i++) {
        char pointer[32], at[64];

        snprintf(pointer, sizeof pointer, "/attacks/%u", i);
        for (uint32_t k = 0; k < p->attack[i].budgets && s == STATUS_OK; k++) {
            s = choice_of(&p->attack[i], p->attack[i].eps[k], pointer, &list[count++], err);
            snprintf(at, sizeof at, "%s/eps/%u", pointer, k);
            if (s == STATUS_OK && is_repeated(p, i, k))
                s = error_at(err, STATUS_INVALID, at, "is there already, of the same attack");
        }
    }
    if (s == STATUS_OK) {
        *ret = list;
        *ret_count = count;
    } else {
        free(list);
    }
    return s;
}

static Status complete(Params *p, Error *err)
{
    if (p->attacks == 0)
        return error_at(err, STATUS_INVALID, "/attacks", "must name an attack");
    for (uint32_t i = 0; i < p->attacks; i++) {
        Choice own;

        choice_init(attack_table, p->attack[i].name, &own);
        if (p->attack[i].budgets == 0) {
            p->attack[i].budgets = 1;
            p->attack[i].eps[0] = own.value[ATTACK_EPS];
        }
    }
    return STATUS_OK;
}

static RobustnessSpec robustness_spec(const JobSpec *spec, const char *path, const Choice *attack,
                                      uint32_t attacks)
{
    const Params *params = spec->params;

    return (RobustnessSpec){ .subject = { .path = path,
                                          .data = data_params_spec(&params->data),
                                          .split = SPLIT_TEST,
                                          .images = (uint32_t)params->images.value },
                             .attack = attack,
                             .attacks = attacks,
                             .seed = spec->seed };
}

static Status estimate(const JobSpec *spec, const char *path, const Dataset *dataset,
                       JobEstimate *ret, Error *err)
{
    const Params *params = spec->params;
    RobustnessSpec robustness;
    RobustnessEstimate needs = { 0 };
    Choice *attack = NULL;
    uint32_t attacks = 0;
    Error why = { 0 };
    Status s = list_choices(params, &attack, &attacks, err);

    if (s != STATUS_OK)
        return s;
    robustness = robustness_spec(spec, path, attack, attacks);
    s = robustness_estimate(&robustness, dataset, &needs, &why);
    free(attack);
    if (s != STATUS_OK) /* what is no field's fault is the checkpoint's */
        return error_at(err, s,
                        strcmp(why.detail[0].pointer, "/images") == 0 ? "/images" : "/checkpoint",
                        "%s", error_message(&why));
    *ret = (JobEstimate){ .memory_bytes = needs.memory_bytes,
                          .flops = needs.flops,
                          .steps = params->images.value };
    return STATUS_OK;
}

static Status robustness_check(Store *store, Datasets *datasets, JobSpec *spec, JobEstimate *ret,
                               Error *err)
{
    Params *params = spec->params;
    const Dataset *dataset = NULL;
    char *path = NULL;
    Status s = measure_check(store, datasets, &params->checkpoint, &params->data, spec->seed, &path,
                             &dataset, err);

    if (s == STATUS_OK)
        s = measure_images(&params->data, SPLIT_TEST, &params->images, err);
    if (s == STATUS_OK)
        s = complete(params, err);
    if (s == STATUS_OK)
        s = estimate(spec, path, dataset, ret, err);
    free(path);
    return s;
}

/* --- what comes out --- */

static json_t *attacks_json(const Params *params, const Measure *measure)
{
    json_t *out = json_object();
    uint32_t column = 1;

    for (uint32_t i = 0; i < params->attacks; i++) {
        const AttackParams *a = &params->attack[i];
        const char *name = attack_names[a->name];
        json_t *budgets = json_object_get(out, name);

        if (budgets == NULL) {
            budgets = json_object();
            (void)json_object_set_new(out, name, budgets);
        }
        for (uint32_t k = 0; k < a->budgets; k++) {
            Interval interval = samples_interval(measure->samples, column++);
            char eps[EPS_BYTES], key[METRIC_KEY_MAX];

            eps_text(a->eps[k], eps);
            snprintf(key, sizeof key, "robustness/%s/%s/accuracy", name, eps);
            (void)json_object_set_new(budgets, eps, measure_report(measure, key, &interval));
        }
    }
    return out;
}

static Status run_measure(Measure *measure, const Dataset *dataset, Error *err)
{
    JobRun *run = measure->run;
    const Params *params = run->spec->params;
    Robustness *robustness = NULL;
    RobustnessSpec spec;
    Choice *attack = NULL;
    uint32_t attacks = 0;
    Status s = list_choices(params, &attack, &attacks, err);

    if (s != STATUS_OK)
        return s;
    spec = robustness_spec(run->spec, measure->path, attack, attacks);
    s = robustness_new(&spec, dataset, run->pool, &robustness, err);
    free(attack);
    if (s != STATUS_OK)
        return s;
    measure_resume(measure, robustness_samples(robustness));
    s = measure_end(measure, robustness_run(robustness, run->stop, measure_batch, measure, err),
                    err);
    if (s == STATUS_OK) {
        Interval clean = samples_interval(measure->samples, 0);
        json_t *row = measure_report(measure, "robustness/clean/accuracy", &clean);

        run_result(run, json_pack("{s:I, s:o, s:o}", "images", (json_int_t)params->images.value,
                                  "clean", row, "robustness", attacks_json(params, measure)));
    }
    robustness_free(robustness);
    return s;
}

static Status robustness_job_run(JobRun *run, Error *err)
{
    const Params *params = run->spec->params;

    return measure_run(run, &params->data, &params->checkpoint, (uint32_t)params->images.value,
                       run_measure, err);
}

extern const JobKind job_kind_robustness;
const JobKind job_kind_robustness = {
    .name = "robustness",
    .summary = "a checkpoint's accuracy under attacks at several budgets",
    .fields = fields,
    .field_count = sizeof fields / sizeof *fields,
    .params_size = sizeof(Params),
    .defaults = "{\"attacks\": [{\"name\": \"fgsm\", \"eps\": [0.00784, 0.0157, 0.0314]},"
                " {\"name\": \"pgd_linf\", \"eps\": [0.00784, 0.0157, 0.0314]}]}",
    .check = robustness_check,
    .run = robustness_job_run,
};
