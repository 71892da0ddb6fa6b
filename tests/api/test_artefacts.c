/* What jobs leave besides numbers: alphas, explanations, the parts of a checkpoint. */
#include "tests/unit/test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/nn/safetensors.h"
#include "server/store/artefacts.h"
#include "tests/api/rig.h"

static int64_t submit(ApiRig *rig, const char *body)
{
    Reply r = api_rig_post(rig, "/api/v1/jobs", body);
    int64_t id = json_integer_value(reply_at(&r, "/id"));

    if (r.code != 201)
        fail_msg("%d: %s", r.code, r.body);
    reply_end(&r);
    return id;
}

static int64_t submit_search(ApiRig *rig)
{
    return submit(rig, "{\"kind\": \"search\", \"params\": {\"dataset\": \"shapes\", "
                       "\"train_images\": 64, \"channels\": 4, \"cells\": 3, \"batch_size\": 8}}");
}

/* A checkpoint at the end of epoch 1 with these tensors of one number each. */
static void add_checkpoint(ApiRig *rig, int64_t id, const char *const *names, size_t count)
{
    const float one = 1;
    const StMeta meta[] = { { "explainer.model", "a" },
                            { "audience.model", "b" },
                            { "format", "c" } };
    JobProgress progress = { .epoch = 1, .epochs = 1, .step = 9, .steps = 9, .eta_seconds = 0 };
    StTensor tensors[8];
    Checkpoint c;
    char *path;
    FILE *out;

    for (size_t i = 0; i < count; i++)
        tensors[i] = (StTensor){ names[i], ST_F32, 1, { 1 }, &one, 1 };
    assert_int_equal(store_checkpoint_prepare(rig->store, id, 9, &c, NULL), STATUS_OK);
    c.epoch = 1;
    c.score = (double)NAN;
    path = store_checkpoint_file(rig->store, &c);
    out = fopen(path, "wb");
    assert_non_null(out);
    assert_int_equal(safetensors_write(out, tensors, count, meta, 3, NULL), STATUS_OK);
    assert_int_equal(fclose(out), 0);
    free(path);
    assert_int_equal(store_checkpoint_add(rig->store, &c, NULL, 0, &progress, NULL), STATUS_OK);
}

/* --- alphas --- */

#define CELL                                                                                  \
    "{\"entropy\": 1.0, \"edges\": [{\"node\": 2, \"input\": 0, \"candidates\": [\"none\"], " \
    "\"alpha\": [0.1], \"weights\": [1.0], \"beta\": null, \"share\": null}]}"

static void alphas_of_every_epoch_are_answered(void **state)
{
    static const char *const tensors[] = { "alphas_normal" };
    ApiRig *rig = *state;
    int64_t id = submit_search(rig);
    Reply r = api_rig_get(rig, "/api/v1/jobs/1/alphas");

    assert_int_equal(r.code, 409); /* none yet */
    reply_end(&r);
    for (uint32_t epoch = 1; epoch <= 2; epoch++)
        assert_int_equal(store_alphas_put(rig->store, id, epoch, 4 * epoch,
                                          "{\"normal\": " CELL ", \"reduce\": " CELL "}", NULL),
                         STATUS_OK);
    add_checkpoint(rig, id, tensors, 1);
    r = api_rig_get(rig, "/api/v1/jobs/1/alphas");
    assert_int_equal(r.code, 200);
    assert_keys(rig, r.json, "Alphas");
    assert_keys(rig, reply_at(&r, "/cells/normal"), "AlphaCell");
    assert_int_equal(json_integer_value(reply_at(&r, "/epoch")), 2);
    assert_int_equal(json_integer_value(reply_at(&r, "/step")), 8);
    reply_end(&r);
    r = api_rig_get(rig, "/api/v1/jobs/1/alphas?epoch=1");
    assert_int_equal(json_integer_value(reply_at(&r, "/epoch")), 1);
    assert_true(json_real_value(reply_at(&r, "/cells/reduce/edges/0/alpha/0")) == 0.1);
    reply_end(&r);
    r = api_rig_get(rig, "/api/v1/jobs/1/alphas?epoch=3");
    assert_int_equal(r.code, 404);
    reply_end(&r);
    r = api_rig_get(rig, "/api/v1/jobs/1/alphas?epoch=best");
    assert_int_equal(r.code, 404); /* nothing was scored */
    reply_end(&r);
    r = api_rig_get(rig, "/api/v1/jobs/1/alphas?epoch=first");
    assert_int_equal(r.code, 422);
    assert_true(reply_names(&r, "/epoch"));
    reply_end(&r);
    r = api_rig_get(rig, "/api/v1/jobs/7/alphas");
    assert_int_equal(r.code, 404);
    reply_end(&r);
}

/* --- maps --- */

static void the_maps_of_a_split_are_a_file_with_its_digest_as_etag(void **state)
{
    ApiRig *rig = *state;
    int64_t id = submit_search(rig);
    Artefact artefact;
    char etag[128], *path;
    FILE *out;
    Reply r;

    assert_int_equal(store_artefact_prepare(rig->store, id, "maps/val", &artefact, NULL),
                     STATUS_OK);
    path = store_artefact_file(rig->store, &artefact);
    out = fopen(path, "wb");
    assert_non_null(out);
    fputs("explained", out);
    fclose(out);
    free(path);
    assert_int_equal(store_artefact_add(rig->store, &artefact, NULL), STATUS_OK);
    snprintf(etag, sizeof etag, "\"%s\"", artefact.sha256);
    r = api_rig_get(rig, "/api/v1/jobs/1/maps/val");
    assert_int_equal(r.code, 200);
    assert_string_equal(reply_header(&r, "ETag"), etag);
    assert_string_equal(r.body, "explained");
    reply_end(&r);
    r = api_rig_send(rig, (Request){ .target = "/api/v1/jobs/1/maps/val", .if_none_match = etag });
    assert_int_equal(r.code, 304);
    reply_end(&r);
    for (int i = 0; i < 3; i++) {
        static const char *const targets[] = { "/api/v1/jobs/1/maps/train",
                                               "/api/v1/jobs/7/maps/val",
                                               "/api/v1/jobs/1/maps/"
                                               "a-split-whose-name-is-longer-than-any-split-has" };

        r = api_rig_get(rig, targets[i]);
        assert_int_equal(r.code, 404);
        reply_end(&r);
    }
}

/* --- parts --- */

static void names_are(const Reply *r, const char *const *names, size_t count)
{
    StFile *file = NULL;

    assert_int_equal(r->code, 200);
    assert_int_equal(safetensors_parse(r->body, r->size, &file, NULL), STATUS_OK);
    assert_int_equal(safetensors_count(file), count);
    for (size_t i = 0; i < count; i++)
        assert_non_null(safetensors_find(file, names[i]));
    safetensors_close(file);
}

static void one_network_of_two_comes_without_its_prefix(void **state)
{
    static const char *const all[] = { "explainer.stem.0.weight",
                                       "explainer.optimizer.momentum_buffer.stem.0.weight",
                                       "audience.conv1.weight",
                                       "audience.optimizer.momentum_buffer.conv1.weight",
                                       "alpha.exp_avg.alphas_normal" };
    ApiRig *rig = *state;
    char digest[SHA256_HEX + 40];
    StFile *file = NULL;
    Reply r;

    add_checkpoint(rig, submit_search(rig), all, 5);
    r = api_rig_get(rig, "/api/v1/jobs/1/checkpoints/latest");
    names_are(&r, all, 5);
    snprintf(digest, sizeof digest, "%s", reply_header(&r, "ETag"));
    reply_end(&r);
    r = api_rig_get(rig, "/api/v1/jobs/1/checkpoints/latest?part=explainer");
    names_are(
        &r, (const char *const[]){ "stem.0.weight", "optimizer.momentum_buffer.stem.0.weight" }, 2);
    assert_string_not_equal(reply_header(&r, "ETag"), digest);
    assert_int_equal(safetensors_parse(r.body, r.size, &file, NULL), STATUS_OK);
    assert_string_equal(safetensors_metadata(file, "model"), "a");
    assert_int_equal(safetensors_metadata_count(file), 1);
    safetensors_close(file);
    reply_end(&r);
    r = api_rig_get(rig, "/api/v1/jobs/1/checkpoints/latest?part=audience&weights=1");
    names_are(&r, (const char *const[]){ "conv1.weight" }, 1);
    reply_end(&r);
    r = api_rig_get(rig, "/api/v1/jobs/1/checkpoints/latest?part=teacher");
    assert_int_equal(r.code, 422);
    assert_true(reply_names(&r, "/part"));
    reply_end(&r);
}

/* --- the defaults of a kind --- */

static const json_t *named(const json_t *list, const char *name)
{
    const json_t *item;
    size_t i;

    json_array_foreach((json_t *)list, i,
                       item) if (strcmp(json_string_value(json_object_get(item, "name")), name) ==
                                 0) return item;
    fail_msg("there is no \"%s\"", name);
    return NULL;
}

static double default_of(const json_t *params, const char *choice, const char *row,
                         const char *name)
{
    const json_t *options = json_object_get(named(params, choice), "options");

    return json_number_value(
        json_object_get(named(json_object_get(named(options, row), "params"), name), "default"));
}

static void a_kind_says_its_own_defaults(void **state)
{
    Reply r = api_rig_get(*state, "/api/v1/kinds");
    const json_t *items = reply_at(&r, "/items");
    const json_t *search = json_object_get(named(items, "search"), "params");
    const json_t *train = json_object_get(named(items, "train"), "params");
    const json_t *lease = json_object_get(named(items, "lease"), "params");

    assert_true(default_of(search, "optimizer", "sgd", "lr") == 0.025);
    assert_true(default_of(train, "optimizer", "sgd", "lr") == 0.1);
    assert_true(default_of(search, "optimizer", "adam", "lr") ==
                default_of(train, "optimizer", "adam", "lr"));
    assert_int_equal(json_integer_value(json_object_get(named(search, "epochs"), "default")), 50);
    assert_string_equal(json_string_value(json_object_get(named(search, "optimizer"), "default")),
                        "sgd");
    lease = json_object_get(named(lease, "explainer"), "fields");
    assert_true(default_of(lease, "alpha_optimizer", "adam", "beta1") == 0.5);
    assert_true(json_is_null(json_object_get(named(lease, "model"), "default")));
    assert_string_equal(json_string_value(json_object_get(named(lease, "space"), "default")), "s3");
    reply_end(&r);
}

#define with_rig(test) cmocka_unit_test_setup_teardown(test, api_rig_setup, api_rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_rig(alphas_of_every_epoch_are_answered),
        with_rig(the_maps_of_a_split_are_a_file_with_its_digest_as_etag),
        with_rig(one_network_of_two_comes_without_its_prefix),
        with_rig(a_kind_says_its_own_defaults),
    };

    return cmocka_run_group_tests_name("artefacts", tests, api_rig_open, api_rig_close);
}
