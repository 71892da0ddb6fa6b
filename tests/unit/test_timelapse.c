/* Time-lapses: what jobs of every kind that trains keep of where their networks look. */
#include "tests/unit/kinds_rig.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/jobs/map_artefacts.h"
#include "server/jobs/timelapse_file.h"

#define DATA \
    "\"dataset\": \"shapes\", \"train_images\": 64, \"val_images\": 16, \"test_images\": 20"
#define FEW "\"dataset\": \"shapes\", \"train_images\": 16, \"val_images\": 8, \"test_images\": 4"
#define MODEL "\"model\": {\"name\": \"resnet18\", \"width\": 4}"
#define SMALL "\"channels\": 4, \"cells\": 3, \"batch_size\": 8, \"epochs\": 1"
#define WATCH(more) "\"timelapse\": {\"images\": [3, 0]" more "}"
#define TRAIN_OF(threads, epochs, timelapse)                                          \
    "{\"kind\": \"train\", \"seed\": 3, \"threads\": " threads ", \"params\": {" DATA \
    ", \"batch_size\": 8, \"epochs\": " epochs ", " MODEL                             \
    ", \"augment\": [{\"name\": \"crop\"}], " timelapse "}}"
#define TRAIN TRAIN_OF("2", "3", WATCH(""))

static char with_text[1024];

#define with_ids(format, ...) \
    (snprintf(with_text, sizeof with_text, format, __VA_ARGS__), (const char *)with_text)

static int64_t finished(Rig *rig, const char *text)
{
    int64_t id = submit(rig, text);
    Job job = succeeded(rig, id);

    job_clear(&job);
    return id;
}

static int setup(void **state)
{
    Rig *rig = rig_open();

    rig->trained = finished(rig, TRAIN);
    *state = rig;
    return 0;
}

/* --- what is there --- */

static size_t count_epochs(Rig *rig, int64_t job, const char *prefix)
{
    Artefact list[TIMELAPSE_EPOCHS_MAX];
    size_t count = 0;

    assert_int_equal(
        store_artefact_list(rig->store, job, prefix, list, TIMELAPSE_EPOCHS_MAX, &count, NULL),
        STATUS_OK);
    return count;
}

static void open_epoch(Rig *rig, int64_t job, const char *part, uint32_t epoch, TimelapseEpoch *ret)
{
    char name[ARTEFACT_NAME_MAX], *path;
    Artefact artefact;

    timelapse_artefact_name(part, epoch, name);
    assert_int_equal(store_artefact_find(rig->store, job, name, &artefact, NULL), STATUS_OK);
    assert_int_equal(store_artefact_verify(rig->store, &artefact, NULL), STATUS_OK);
    path = store_artefact_file(rig->store, &artefact);
    assert_int_equal(timelapse_file_open(path, ret, NULL), STATUS_OK);
    free(path);
}

static const Dataset *shapes(Rig *rig)
{
    const Dataset *dataset = NULL;

    assert_int_equal(datasets_find(rig->datasets, "shapes", 0, &dataset, NULL), STATUS_OK);
    return dataset;
}

static void every_epochs_maps_are_kept(void **state)
{
    Rig *rig = *state;
    const Dataset *d = shapes(rig);

    assert_int_equal(count_epochs(rig, rig->trained, "timelapse/"), 3);
    for (uint32_t epoch = 1; epoch <= 3; epoch++) {
        TimelapseEpoch e = { 0 };

        open_epoch(rig, rig->trained, "", epoch, &e);
        assert_int_equal(e.epoch, epoch);
        assert_int_equal(e.step, 6 * epoch); /* 48 images by 8 */
        assert_int_equal(e.images, 2);
        assert_int_equal(e.index[0], 3); /* in the order asked for */
        assert_int_equal(e.index[1], 0);
        assert_int_equal(e.label[0], d->test.labels[3]);
        assert_int_equal(e.label[1], d->test.labels[0]);
        assert_true(e.height == 8 && e.width == 8); /* layer3's */
        assert_string_equal(e.method, "gradcam");
        assert_string_equal(e.layer, "");
        for (int i = 0; i < 2; i++) {
            assert_in_range(e.predicted[i], 0, d->classes - 1);
            assert_true(e.score[i] > 0 && e.score[i] <= 1);
        }
        timelapse_file_close(&e);
    }
}

/* --- they are what anybody makes of the checkpoint --- */

/* The map that the newest checkpoint's network makes of `image`, with one thread. */
static HeatMap map_of(Rig *rig, int64_t job, const float *image, uint32_t item)
{
    Explainer *explainer = NULL;
    Pool *pool = NULL;
    HeatMap map = { 0 };
    Checkpoint c;
    char *path;

    assert_int_equal(queue_checkpoint(rig->queue, job, "latest", &c, NULL), STATUS_OK);
    path = store_checkpoint_file(rig->store, &c);
    assert_int_equal(pool_new(1, &pool, NULL), STATUS_OK);
    assert_int_equal(explainer_open(path, pool, &explainer, NULL), STATUS_OK);
    assert_int_equal(
        explainer_map(explainer,
                      &(const MapRequest){ .image = image,
                                           .method = (uint32_t)table_find(cam_table, "gradcam"),
                                           .class_index = -1,
                                           .item = item },
                      &map, NULL),
        STATUS_OK);
    explainer_free(explainer);
    pool_free(pool);
    free(path);
    return map;
}

/* Image `i` of the epoch is that map, bit by bit. */
static void assert_is_map(const TimelapseEpoch *e, uint32_t i, const HeatMap *map)
{
    size_t numbers = (size_t)map->height * map->width;

    assert_int_equal(e->height, map->height);
    assert_int_equal(e->width, map->width);
    assert_int_equal(e->predicted[i], map->predicted);
    assert_memory_equal(&e->score[i], &map->score, sizeof map->score);
    assert_memory_equal(e->maps + i * numbers, map->values, numbers * sizeof *map->values);
}

typedef struct Shown {
    pthread_mutex_t lock;
    pthread_cond_t done;
    bool here;
    Status status;
    MapsResult result;
} Shown;

static void answered(void *context, Status status, const Error *err, MapsResult *result)
{
    Shown *a = context;

    (void)err;
    pthread_mutex_lock(&a->lock);
    a->status = status;
    a->result = *result;
    result->bytes = (Bytes){ 0 };
    a->here = true;
    pthread_cond_signal(&a->done);
    pthread_mutex_unlock(&a->lock);
}

/* Image 3's raw map by the newest checkpoint, asked of the maps' thread, is that of the epoch. */
static void assert_is_shown(Rig *rig, int64_t job, const char *part, const TimelapseEpoch *e)
{
    enum { NPY_HEADER = 128 };
    MapsRequest request = { .what = MAPS_NPY,
                            .job = job,
                            .which = "latest",
                            .split = SPLIT_TEST,
                            .image = 3,
                            .method = (uint32_t)table_find(cam_table, "gradcam"),
                            .class_index = -1 };
    Shown a = { .lock = PTHREAD_MUTEX_INITIALIZER, .done = PTHREAD_COND_INITIALIZER };
    size_t bytes = (size_t)e->height * e->width * sizeof *e->maps;

    snprintf(request.part, sizeof request.part, "%s", part);
    assert_int_equal(maps_submit(rig->maps, &request, answered, &a, NULL), STATUS_OK);
    pthread_mutex_lock(&a.lock);
    while (!a.here)
        pthread_cond_wait(&a.done, &a.lock);
    pthread_mutex_unlock(&a.lock);
    assert_int_equal(a.status, STATUS_OK);
    assert_int_equal(a.result.predicted, e->predicted[0]);
    assert_int_equal(a.result.bytes.size, NPY_HEADER + bytes);
    assert_memory_equal(a.result.bytes.data + NPY_HEADER, e->maps, bytes);
    bytes_clear(&a.result.bytes);
}

static void a_map_is_what_its_checkpoint_answers(void **state)
{
    Rig *rig = *state;
    const DataSpec spec = { .train_images = 64, .val_images = 16, .test_images = 20 };
    TimelapseEpoch e = { 0 };
    Loader loader = { 0 };
    float image[32 * 32 * 3];

    assert_int_equal(loader_init(&loader, shapes(rig), &spec, NULL), STATUS_OK);
    open_epoch(rig, rig->trained, "", 3, &e);
    assert_is_shown(rig, rig->trained, "", &e);
    for (uint32_t i = 0; i < 2; i++) {
        uint32_t item = i == 0 ? 3 : 0;
        HeatMap map;

        loader_normalise(&loader, loader_pixels(&loader, SPLIT_TEST, item), image);
        map = map_of(rig, rig->trained, image, item);
        assert_is_map(&e, i, &map);
        assert_false(map.empty && i == 0);
        heatmap_clear(&map);
    }
    timelapse_file_close(&e);
    loader_clear(&loader);
}

static void assert_same_maps(Rig *rig, int64_t a, int64_t b, uint32_t epochs)
{
    for (uint32_t epoch = 1; epoch <= epochs; epoch++) {
        char name[ARTEFACT_NAME_MAX];
        Artefact one, other;

        timelapse_artefact_name("", epoch, name);
        assert_int_equal(store_artefact_find(rig->store, a, name, &one, NULL), STATUS_OK);
        assert_int_equal(store_artefact_find(rig->store, b, name, &other, NULL), STATUS_OK);
        assert_string_equal(one.sha256, other.sha256);
    }
}

static void a_drained_job_keeps_the_same_maps(void **state)
{
    Rig *rig = *state;
    int64_t id = submit(rig, TRAIN_OF("1", "3", WATCH("")));
    Job job = wait_for(rig, id, 7);

    job_clear(&job);
    close_queue(rig);
    open_queue(rig);
    job = succeeded(rig, id);
    job_clear(&job);
    assert_same_maps(rig, rig->trained, id, 3);
}

static void watching_changes_nothing_of_what_is_learned(void **state)
{
    Rig *rig = *state;
    char watched[SHA256_HEX], alone[SHA256_HEX];
    int64_t id = finished(rig, TRAIN_OF("2", "3", "\"timelapse\": null"));

    the_digest(rig, rig->trained, watched);
    the_digest(rig, id, alone);
    assert_string_equal(watched, alone);
    assert_int_equal(count_epochs(rig, id, "timelapse/"), 0);
}

/* --- every kind that trains --- */

static void searches_and_genotypes_are_watched(void **state)
{
    Rig *rig = *state;
    int64_t search = finished(rig, "{\"kind\": \"search\", \"params\": {\"dataset\": \"shapes\", "
                                   "\"train_images\": 16, \"test_images\": 4, " SMALL
                                   ", " WATCH(", \"layer\": \"cells.1\"") "}}");
    int64_t evalarch =
        finished(rig, "{\"kind\": \"evalarch\", \"params\": {\"dataset\": \"shapes\", "
                      "\"train_images\": 16, \"test_images\": 4, \"genotype\": \"darts_v2\", "
                      "\"auxiliary\": 0, " SMALL ", " WATCH(", \"method\": \"hirescam\"") "}}");
    TimelapseEpoch e = { 0 };

    open_epoch(rig, search, "", 1, &e);
    assert_string_equal(e.layer, "cells.1");
    timelapse_file_close(&e);
    open_epoch(rig, evalarch, "", 1, &e);
    assert_string_equal(e.method, "hirescam");
    timelapse_file_close(&e);
}

#define LEASE_OF(timelapse)                                                                       \
    "{\"kind\": \"lease\", \"seed\": 3, \"threads\": 2, \"params\": {\"dataset\": "               \
    "\"shapes\", \"train_images\": 16, \"test_images\": 4, \"rounds\": 1, \"explainer\": {" SMALL \
    "}, \"audience\": {" MODEL ", \"batch_size\": 8, \"epochs\": 1}, \"architecture\": "          \
    "{\"epochs\": 0}, \"explanation\": {\"steps\": 1}, " timelapse "}}"

static void of_a_lease_both_networks_are_watched(void **state)
{
    Rig *rig = *state;
    int64_t id = finished(rig, LEASE_OF(WATCH(", \"layer\": \"layer2\"")));
    TimelapseEpoch e = { 0 };

    assert_int_equal(count_epochs(rig, id, "timelapse/"), 0);
    assert_int_equal(count_epochs(rig, id, "timelapse/explainer/"), 2);
    assert_int_equal(count_epochs(rig, id, "timelapse/audience/"), 2);
    open_epoch(rig, id, "explainer", 2, &e);
    assert_string_equal(e.layer, ""); /* a supernet has no layer2 */
    timelapse_file_close(&e);
    open_epoch(rig, id, "audience", 2, &e);
    assert_string_equal(e.layer, "layer2");
    assert_int_equal(e.height, 16);
    timelapse_file_close(&e);
}

/* The audience's own input of a test image, as its trainer makes it. */
static void compose(Rig *rig, int64_t maps, uint32_t item, float *ret)
{
    const DataSpec spec = {
        .train_images = 64, .val_images = 16, .test_images = 20, .split_seed = 3
    };
    const uint64_t images[SPLIT_COUNT] = { 48, 16, 20 };
    ComposeSpec compose = { .input = COMPOSE_MAPS,
                            .reweight = { reweight_default(true), REWEIGHT_F_DEFAULT } };
    BatchSpec batch = { .split = SPLIT_TEST, .items = &item, .count = 1 };
    Composer composer = { 0 };
    MapFiles files = { 0 };
    Loader loader = { 0 };
    uint16_t label;

    assert_int_equal(loader_init(&loader, shapes(rig), &spec, NULL), STATUS_OK);
    assert_int_equal(map_files_open(rig->store, maps, images, true, "/maps", &files, NULL),
                     STATUS_OK);
    map_files_sets(&files, compose.maps);
    assert_int_equal(composer_init(&composer, &loader, &compose, NULL), STATUS_OK);
    loader_set_composer(&loader, &composer);
    assert_int_equal(composer.channels, 30);
    batch.scratch = aligned_alloc(64, (loader_scratch_bytes(&loader, 1) + 63) / 64 * 64);
    assert_non_null(batch.scratch);
    loader_batch(&loader, NULL, &batch, ret, &label, NULL);
    free(batch.scratch);
    composer_clear(&composer);
    map_files_close(&files);
    loader_clear(&loader);
}

static void an_audience_is_watched_on_what_it_sees(void **state)
{
    Rig *rig = *state;
    int64_t maps =
        finished(rig, with_ids("{\"kind\": \"explain\", \"seed\": 5, \"params\": {" DATA
                               ", \"checkpoint\": {\"job\": %lld}, \"explanation\": {\"source\": "
                               "\"gradcam\", \"classes\": \"all\"}}}",
                               (long long)rig->trained));
    int64_t id =
        finished(rig, with_ids("{\"kind\": \"audience\", \"seed\": 7, \"params\": {\"dataset\": "
                               "\"shapes\", \"maps\": {\"job\": %lld}, " MODEL
                               ", \"batch_size\": 8, \"epochs\": 1, " WATCH("") "}}",
                               (long long)maps));
    float *image = malloc(32 * 32 * 30 * sizeof *image);
    TimelapseEpoch e = { 0 };
    HeatMap map;

    assert_non_null(image);
    compose(rig, maps, 3, image);
    map = map_of(rig, id, image, 3);
    open_epoch(rig, id, "", 1, &e);
    assert_is_map(&e, 0, &map);
    assert_is_shown(rig, id, "", &e);
    timelapse_file_close(&e);
    heatmap_clear(&map);
    free(image);
}

static void a_grouped_audience_of_a_lease_is_watched_on_raw_images(void **state)
{
    Rig *rig = *state;
    int64_t id =
        finished(rig, "{\"kind\": \"lease\", \"seed\": 3, \"params\": {\"dataset\": \"shapes\", "
                      "\"train_images\": 16, \"val_images\": 8, \"test_images\": 4, \"rounds\": 1, "
                      "\"hypergrad\": \"first\", \"explainer\": {" MODEL ", \"batch_size\": 8, "
                      "\"epochs\": 1}, \"audience\": {" MODEL ", \"batch_size\": 8, \"epochs\": 1, "
                      "\"input\": \"image+maps\"}, \"explanation\": {\"source\": \"gradcam\", "
                      "\"classes\": \"all\"}, " WATCH("") "}}");
    TimelapseEpoch e = { 0 };

    open_epoch(rig, id, "audience", 2, &e);
    assert_is_shown(rig, id, "audience", &e);
    timelapse_file_close(&e);
}

/* Step 4 of LeaSE alone: the networks come from two other jobs' files. */
static void alphas_alone_are_watched_through_both_networks(void **state)
{
    Rig *rig = *state;
    int64_t explainer = finished(rig, "{\"kind\": \"train\", \"seed\": 3, \"params\": {" FEW
                                      ", \"batch_size\": 8, \"epochs\": 1, \"model\": {\"name\": "
                                      "\"supernet\", \"channels\": 4, \"cells\": 3}}}");
    int64_t maps = finished(
        rig, with_ids("{\"kind\": \"explain\", \"params\": {" FEW
                      ", \"checkpoint\": {\"job\": %lld}, \"explanation\": {\"steps\": 1}}}",
                      (long long)explainer));
    int64_t audience = finished(
        rig, with_ids("{\"kind\": \"audience\", \"params\": {\"dataset\": \"shapes\", \"maps\": "
                      "{\"job\": %lld}, " MODEL ", \"batch_size\": 8, \"epochs\": 1}}",
                      (long long)maps));
    int64_t id = finished(
        rig,
        with_ids("{\"kind\": \"search\", \"params\": {\"dataset\": \"shapes\", \"update\": "
                 "\"alphas\", \"test_images\": 4, \"epochs\": 1, \"batch_size\": 8, \"hypergrad\": "
                 "\"first\", "
                 "\"explainer\": {\"job\": %lld}, \"audience\": {\"job\": %lld}, \"timelapse\": "
                 "{\"images\": [3], \"layer\": \"cells.0\"}}}",
                 (long long)explainer, (long long)audience));
    TimelapseEpoch e = { 0 };

    open_epoch(rig, id, "explainer", 1, &e);
    assert_string_equal(e.layer, "cells.0");
    timelapse_file_close(&e);
    open_epoch(rig, id, "audience", 1, &e);
    assert_string_equal(e.layer, "");
    assert_is_shown(rig, id, "audience", &e);
    timelapse_file_close(&e);
}

/* --- what is refused, and what is not --- */

static void a_bad_time_lapse_is_refused_by_field(void **state)
{
    Rig *rig = *state;

    refused(rig, TRAIN_OF("1", "1", "\"timelapse\": {\"images\": [0, 20]}"),
            "/params/timelapse/images/1");
    refused(rig, TRAIN_OF("1", "1", "\"timelapse\": {\"images\": [1, 2, 1]}"),
            "/params/timelapse/images/2");
    refused(rig, TRAIN_OF("1", "1", "\"timelapse\": {\"images\": [0.5]}"),
            "/params/timelapse/images/0");
    refused(rig,
            TRAIN_OF("1", "1",
                     "\"timelapse\": {\"images\": [0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]}"),
            "/params/timelapse/images");
    refused(rig, TRAIN_OF("1", "1", WATCH(", \"layer\": \"layer9\"")), "/params/timelapse/layer");
    refused(rig, TRAIN_OF("1", "1", WATCH(", \"layer\": \"layer2\", \"method\": \"cam\"")),
            "/params/timelapse/layer");
    refused(rig, TRAIN_OF("1", "1", WATCH(", \"method\": \"pgd_l2\"")), "/params/timelapse/method");
    refused(rig, TRAIN_OF("1", "1", "\"timelapse\": {\"image\": 1}"), "/params/timelapse/image");
    refused(rig, LEASE_OF(WATCH(", \"layer\": \"layer9\"")), "/params/timelapse/layer");
}

static void a_bad_layers_message_lists_the_layers(void **state)
{
    Rig *rig = *state;
    Error err = { 0 };
    int64_t id;

    assert_int_equal(
        submit_error(rig, TRAIN_OF("1", "1", WATCH(", \"layer\": \"layer9\"")), &id, &err),
        STATUS_INVALID);
    assert_non_null(strstr(error_message(&err), "layer3"));
}

static void watching_takes_memory_that_is_told_beforehand(void **state)
{
    Rig *rig = *state;
    const char *const texts[] = { TRAIN_OF("1", "1", "\"timelapse\": null"),
                                  TRAIN_OF("1", "1", WATCH("")) };
    uint64_t bytes[2];

    for (int i = 0; i < 2; i++) {
        json_t *body = json_loads(texts[i], 0, NULL);
        JobPlan plan;

        assert_int_equal(queue_dry_run(rig->queue, body, &plan, NULL), STATUS_OK);
        bytes[i] = plan.estimate.memory_bytes;
        json_decref(plan.params);
        json_decref(body);
    }
    assert_true(bytes[1] > bytes[0]);
}

/* A file lies where the folder is to be. */
static void maps_that_cannot_be_kept_fail_no_job(void **state)
{
    Rig *rig = *state;
    uint64_t missed = queue_timelapse_missed(rig->queue);
    char path[256];
    int64_t id;
    int fd;

    id = finished(rig, TRAIN_OF("1", "1", "\"timelapse\": null")) + 1;
    snprintf(path, sizeof path, "%s/jobs/%lld", rig->scratch.path, (long long)id);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof path, "%s/jobs/%lld/timelapse", rig->scratch.path, (long long)id);
    fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(finished(rig, TRAIN_OF("1", "2", WATCH(""))), id);
    assert_int_equal(count_epochs(rig, id, "timelapse/"), 0);
    assert_int_equal(queue_timelapse_missed(rig->queue), missed + 2);
}

static void of_many_epochs_some_are_kept_evenly(void **state)
{
    static const uint32_t epochs[] = { 1, 2, 200, 201, 399, 600, 1000, 99999, 100000 };

    (void)state;
    for (size_t i = 0; i < sizeof epochs / sizeof *epochs; i++) {
        uint32_t kept = 0, last = 0, widest = 0, all = epochs[i];

        for (uint32_t e = 1; e <= all; e++) {
            if (!timelapse_keeps(e, all))
                continue;
            widest = e - last > widest ? e - last : widest;
            last = e;
            kept++;
        }
        assert_true(timelapse_keeps(1, all));
        assert_int_equal(last, all);
        assert_true(kept <= TIMELAPSE_EPOCHS_MAX);
        if (all <= TIMELAPSE_EPOCHS_MAX)
            assert_int_equal(kept, all);
        else
            assert_true(widest <= all / (TIMELAPSE_EPOCHS_MAX - 2) + 1);
    }
}

/* --- files --- */

static void a_file_that_is_none_is_refused(void **state)
{
    Rig *rig = *state;
    char name[ARTEFACT_NAME_MAX], *path;
    TimelapseEpoch e = { 0 };
    Artefact artefact;

    timelapse_artefact_name("", 1, name);
    assert_int_equal(store_artefact_find(rig->store, rig->trained, name, &artefact, NULL),
                     STATUS_OK);
    path = store_artefact_file(rig->store, &artefact);
    assert_int_equal(truncate(path, (off_t)artefact.bytes - 4), 0);
    assert_int_equal(timelapse_file_open(path, &e, NULL), STATUS_CORRUPT);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(timelapse_file_open(path, &e, NULL), STATUS_NOT_FOUND);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_epochs_maps_are_kept),
        cmocka_unit_test(a_map_is_what_its_checkpoint_answers),
        cmocka_unit_test(a_drained_job_keeps_the_same_maps),
        ALONE(watching_changes_nothing_of_what_is_learned),
        ALONE(searches_and_genotypes_are_watched),
        ALONE(of_a_lease_both_networks_are_watched),
        cmocka_unit_test(an_audience_is_watched_on_what_it_sees),
        ALONE(a_grouped_audience_of_a_lease_is_watched_on_raw_images),
        ALONE(alphas_alone_are_watched_through_both_networks),
        cmocka_unit_test(a_bad_time_lapse_is_refused_by_field),
        cmocka_unit_test(a_bad_layers_message_lists_the_layers),
        cmocka_unit_test(watching_takes_memory_that_is_told_beforehand),
        cmocka_unit_test(maps_that_cannot_be_kept_fail_no_job),
        cmocka_unit_test(of_many_epochs_some_are_kept_evenly),
        cmocka_unit_test(a_file_that_is_none_is_refused),
    };

    return cmocka_run_group_tests(tests, setup, rig_teardown);
}
