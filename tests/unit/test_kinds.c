/* The real kinds, end to end through the queue: train, evaluate, and heat maps of what they leave.
 */
#include "tests/unit/kinds_rig.h"

#include <pthread.h>

#define TINY                                                                                    \
    "{\"kind\": \"train\", \"seed\": 3, \"threads\": 2, \"params\": {\"dataset\": \"shapes\", " \
    "\"train_images\": 64, \"test_images\": 32, \"val_images\": 16, \"batch_size\": 8, "        \
    "\"epochs\": 2, "                                                                           \
    "\"model\": {\"name\": \"resnet18\", \"width\": 4}, \"augment\": [{\"name\": \"crop\"}, "   \
    "{\"name\": \"flip\"}]}}"

static int setup(void **state)
{
    Rig *rig = rig_open();
    Job job;

    rig->trained = submit(rig, TINY);
    job = succeeded(rig, rig->trained);
    job_clear(&job);
    *state = rig;
    return 0;
}

/* --- train --- */

static void training_leaves_numbers_and_checkpoints(void **state)
{
    Rig *rig = *state;
    Job job = succeeded(rig, rig->trained);
    MetricList list = { 0 };
    Checkpoint c;

    assert_int_equal(job.progress.step, 12); /* 48 images by 8, twice */
    assert_int_equal(job.progress.epoch, 2);
    assert_int_equal(job.progress.epochs, 2);
    assert_true(latest(&job, "train/loss") > 0);
    assert_true(latest(&job, "test/loss") > 0);
    assert_in_range((int)(latest(&job, "test/accuracy") * 32), 0, 32);
    assert_in_range((int)(latest(&job, "val/accuracy") * 16), 0, 16);
    assert_true(latest(&job, "throughput/images_per_second") > 0);
    assert_int_equal(
        store_metric_query(rig->store, rig->trained,
                           (const char *const[]){ "test/accuracy", "train/loss", NULL }, 100, &list,
                           NULL),
        STATUS_OK);
    assert_int_equal(list.count, 2);
    assert_int_equal(list.series[0].total, 2);
    assert_int_equal(list.series[0].points[1].step, 12);
    assert_int_equal(list.series[1].total, 12);
    metric_list_clear(&list);
    assert_int_equal(queue_checkpoint(rig->queue, rig->trained, "latest", &c, NULL), STATUS_OK);
    assert_int_equal(c.epoch, 2);
    assert_int_equal(queue_checkpoint(rig->queue, rig->trained, "best", &c, NULL), STATUS_OK);
    assert_int_equal(store_checkpoint_verify(rig->store, &c, NULL), STATUS_OK);
    job_clear(&job);
}

static void params_come_back_with_every_default(void **state)
{
    Rig *rig = *state;
    Job job = succeeded(rig, rig->trained);
    json_t *p = json_loads(job.params, 0, NULL);

    assert_int_equal(json_integer_value(json_object_get(p, "split_seed")), 3);
    assert_true(json_real_value(json_object_get(json_object_get(p, "optimizer"), "momentum")) ==
                0.9);
    assert_string_equal(json_string_value(json_object_get(json_object_get(p, "schedule"), "name")),
                        "cosine");
    assert_string_equal(json_string_value(json_object_get(p, "precision")), "fp32");
    assert_int_equal(json_integer_value(json_object_get(
                         json_array_get(json_object_get(p, "augment"), 0), "padding")),
                     4);
    json_decref(p);
    job_clear(&job);
}

static void a_bad_training_job_is_refused_by_field(void **state)
{
    Rig *rig = *state;

    refused(rig, "{\"kind\": \"train\"}", "/params/dataset");
    refused(rig, "{\"kind\": \"train\", \"params\": {\"dataset\": \"nope\"}}", "/params/dataset");
    refused(rig, "{\"kind\": \"train\", \"params\": {\"dataset\": \"gone\"}}", "/params/dataset");
    refused(
        rig,
        "{\"kind\": \"train\", \"params\": {\"dataset\": \"shapes\", \"train_images\": 99999999}}",
        "/params/train_images");
    refused(rig,
            "{\"kind\": \"train\", \"params\": {\"dataset\": \"shapes\", \"train_images\": 10, "
            "\"val_images\": 10}}",
            "/params/val_images");
    refused(rig,
            "{\"kind\": \"train\", \"params\": {\"dataset\": \"shapes\", \"model\": {\"name\": "
            "\"vgg\"}}}",
            "/params/model/name");
    refused(
        rig,
        "{\"kind\": \"train\", \"params\": {\"dataset\": \"shapes\", \"optimizer\": {\"lr\": -1}}}",
        "/params/optimizer/lr");
    refused(rig,
            "{\"kind\": \"train\", \"params\": {\"dataset\": \"shapes\", \"augment\": [{\"name\": "
            "\"flip\", \"x\": 1}]}}",
            "/params/augment/0/x");
    refused(rig,
            "{\"kind\": \"train\", \"params\": {\"dataset\": \"shapes\", \"precision\": \"fp8\"}}",
            "/params/precision");
    refused(rig, "{\"kind\": \"train\", \"params\": {\"dataset\": \"shapes\", \"epochs\": 0}}",
            "/params/epochs");
}

static void a_loss_that_explodes_fails_the_job(void **state)
{
    Rig *rig = *state;
    int64_t id = submit(
        rig,
        "{\"kind\": \"train\", \"params\": {\"dataset\": \"shapes\", \"train_images\": 64, "
        "\"test_images\": 8, "
        "\"batch_size\": 8, \"epochs\": 20, \"model\": {\"name\": \"resnet18\", \"width\": 4}, "
        "\"optimizer\": {\"lr\": 1e6, \"weight_decay\": 1}, \"schedule\": {\"name\": "
        "\"cosine\"}}}");
    Job job = wait_for(rig, id, UINT64_MAX);

    assert_int_equal(job.state, JOB_FAILED);
    assert_non_null(strstr(job.reason, "step"));
    job_clear(&job);
}

/* One step an epoch; the first has the rate 0, the next ones far too large a rate. */
static void a_job_that_diverges_keeps_its_last_good_checkpoint(void **state)
{
    Rig *rig = *state;
    int64_t id = submit(
        rig, "{\"kind\": \"train\", \"params\": {\"dataset\": \"shapes\", \"train_images\": 32, "
             "\"test_images\": 8, \"batch_size\": 32, \"epochs\": 20, \"model\": {\"name\": "
             "\"resnet18\", "
             "\"width\": 4}, \"optimizer\": {\"lr\": 1e9, \"weight_decay\": 1}, \"schedule\": "
             "{\"name\": "
             "\"one_cycle\", \"start\": 0, \"peak\": 1}}}");
    Job job = wait_for(rig, id, UINT64_MAX);
    Checkpoint c;

    assert_int_equal(job.state, JOB_FAILED);
    if (strstr(job.reason, "step") == NULL || strstr(job.reason, "layer") == NULL)
        fail_msg("%s", job.reason);
    assert_int_equal(queue_checkpoint(rig->queue, id, "latest", &c, NULL), STATUS_OK);
    assert_int_equal(c.epoch, job.progress.epoch);
    assert_in_range(c.epoch, 1, 19);
    assert_int_equal(store_checkpoint_verify(rig->store, &c, NULL), STATUS_OK);
    job_clear(&job);
}

static void a_drained_job_ends_with_the_same_bits(void **state)
{
    drained_ends_alike(*state, TINY, 2);
}

/* --- evaluate --- */

static void evaluating_repeats_what_training_measured(void **state)
{
    Rig *rig = *state;
    Job trained = succeeded(rig, rig->trained), job;
    char text[256];
    json_t *result, *params;
    int64_t id;

    snprintf(text, sizeof text,
             "{\"kind\": \"evaluate\", \"params\": {\"dataset\": \"shapes\", \"test_images\": 32, "
             "\"checkpoint\": {\"job\": %lld}}}",
             (long long)rig->trained);
    id = submit(rig, text);
    job = succeeded(rig, id);
    result = json_loads(job.result, 0, NULL);
    params = json_loads(job.params, 0, NULL);
    assert_int_equal(json_integer_value(json_object_get(result, "images")), 32);
    assert_true(fabs(json_number_value(json_object_get(result, "accuracy")) -
                     latest(&trained, "test/accuracy")) < 1e-9);
    assert_true(fabs(json_number_value(json_object_get(result, "loss")) -
                     latest(&trained, "test/loss")) < 1e-4);
    assert_true(latest(&job, "test/accuracy") ==
                json_number_value(json_object_get(result, "accuracy")));
    assert_int_equal(json_integer_value(json_object_get(params, "val_images")), 16); /* inherited */
    assert_int_equal(json_integer_value(json_object_get(params, "split_seed")), 3);
    json_decref(result);
    json_decref(params);
    job_clear(&trained);
    job_clear(&job);
}

static void a_bad_evaluation_is_refused_by_field(void **state)
{
    Rig *rig = *state;
    char text[256];

    refused(rig, "{\"kind\": \"evaluate\", \"params\": {\"dataset\": \"shapes\"}}",
            "/params/checkpoint");
    refused(rig,
            "{\"kind\": \"evaluate\", \"params\": {\"dataset\": \"shapes\", \"checkpoint\": "
            "{\"job\": 999}}}",
            "/params/checkpoint");
    snprintf(text, sizeof text,
             "{\"kind\": \"evaluate\", \"params\": {\"dataset\": \"shapes\", \"val_images\": 8, "
             "\"checkpoint\": {\"job\": %lld}}}",
             (long long)rig->trained);
    refused(rig, text, "/params/val_images");
    snprintf(text, sizeof text,
             "{\"kind\": \"evaluate\", \"params\": {\"dataset\": \"shapes\", \"checkpoint\": "
             "{\"job\": %lld, \"epoch\": 77}}}",
             (long long)rig->trained);
    refused(rig, text, "/params/checkpoint");
}

static void a_job_that_has_not_finished_cannot_be_evaluated(void **state)
{
    Rig *rig = *state;
    char text[256];
    Job job = { 0 };
    int64_t id =
        submit(rig, "{\"kind\": \"train\", \"params\": {\"dataset\": \"shapes\", \"epochs\": 1000, "
                    "\"model\": {\"name\": \"resnet18\", \"width\": 4}}}");

    snprintf(text, sizeof text,
             "{\"kind\": \"evaluate\", \"params\": {\"dataset\": \"shapes\", \"checkpoint\": "
             "{\"job\": %lld}}}",
             (long long)id);
    refused(rig, text, "/params/checkpoint");
    assert_int_equal(queue_cancel(rig->queue, id, &job, NULL), STATUS_OK);
    job_clear(&job);
    job = wait_for(rig, id, UINT64_MAX);
    assert_int_equal(job.state, JOB_CANCELLED);
    job_clear(&job);
    refused(rig, text, "/params/checkpoint"); /* "latest" of a job that has not succeeded */
}

/* --- heat maps --- */

typedef struct MapAnswer {
    pthread_mutex_t lock;
    pthread_cond_t done;
    unsigned count;
    Status status;
    char pointer[ERROR_POINTER_MAX];
    MapsResult result;
} MapAnswer;

static void answered(void *context, Status status, const Error *err, MapsResult *result)
{
    MapAnswer *a = context;

    pthread_mutex_lock(&a->lock);
    a->status = status;
    snprintf(a->pointer, sizeof a->pointer, "%s", err->detail[0].pointer);
    bytes_clear(&a->result.bytes);
    a->result = *result;
    *result = (MapsResult){ 0 };
    a->count++;
    pthread_cond_signal(&a->done);
    pthread_mutex_unlock(&a->lock);
}

static MapsRequest map_request(const Rig *rig, MapsWhat what)
{
    return (MapsRequest){ .what = what,
                          .job = rig->trained,
                          .which = "latest",
                          .split = SPLIT_TEST,
                          .class_index = -1,
                          .render = { .scale = 2, .blend = 0.5f } };
}

static void wait_answers(MapAnswer *a, unsigned count)
{
    pthread_mutex_lock(&a->lock);
    while (a->count < count)
        pthread_cond_wait(&a->done, &a->lock);
    pthread_mutex_unlock(&a->lock);
}

static Status ask(Rig *rig, const MapsRequest *request, MapAnswer *a)
{
    *a = (MapAnswer){ .lock = PTHREAD_MUTEX_INITIALIZER, .done = PTHREAD_COND_INITIALIZER };
    assert_int_equal(maps_submit(rig->maps, request, answered, a, NULL), STATUS_OK);
    wait_answers(a, 1);
    return a->status;
}

static void a_map_comes_as_picture_and_as_numbers(void **state)
{
    Rig *rig = *state;
    MapsRequest png = map_request(rig, MAPS_PNG), npy = map_request(rig, MAPS_NPY);
    MapAnswer a;

    assert_int_equal(ask(rig, &png, &a), STATUS_OK);
    assert_memory_equal(a.result.bytes.data, "\x89PNG", 4);
    assert_int_equal(a.result.class_index, a.result.predicted);
    assert_int_equal(strlen(a.result.checkpoint_sha256), 64);
    bytes_clear(&a.result.bytes);
    snprintf(npy.layer, sizeof npy.layer, "layer2");
    npy.class_index = 3;
    assert_int_equal(ask(rig, &npy, &a), STATUS_OK);
    assert_memory_equal(a.result.bytes.data, "\x93NUMPY", 6);
    assert_int_equal(a.result.class_index, 3);
    bytes_clear(&a.result.bytes);
}

static void layers_are_listed(void **state)
{
    Rig *rig = *state;
    MapsRequest request = map_request(rig, MAPS_LAYERS);
    json_t *body, *item;
    size_t i;
    bool found = false;
    MapAnswer a;

    assert_int_equal(ask(rig, &request, &a), STATUS_OK);
    body = json_loadb((const char *)a.result.bytes.data, a.result.bytes.size, 0, NULL);
    json_array_foreach(json_object_get(body, "items"), i, item) found |=
        strcmp(json_string_value(json_object_get(item, "name")), "layer3") == 0 &&
        json_integer_value(json_array_get(json_object_get(item, "shape"), 2)) == 16;
    assert_true(found);
    json_decref(body);
    bytes_clear(&a.result.bytes);
}

static void what_is_not_there_is_said(void **state)
{
    Rig *rig = *state;
    MapsRequest r = map_request(rig, MAPS_PNG);
    MapAnswer a;

    snprintf(r.layer, sizeof r.layer, "layer9");
    assert_int_equal(ask(rig, &r, &a), STATUS_INVALID);
    assert_string_equal(a.pointer, "/layer");
    r = map_request(rig, MAPS_PNG);
    r.class_index = 10;
    assert_int_equal(ask(rig, &r, &a), STATUS_INVALID);
    assert_string_equal(a.pointer, "/class");
    r = map_request(rig, MAPS_PNG);
    r.image = 32;
    assert_int_equal(ask(rig, &r, &a), STATUS_NOT_FOUND);
    r = map_request(rig, MAPS_PNG);
    r.job = 999;
    assert_int_equal(ask(rig, &r, &a), STATUS_NOT_FOUND);
    r = map_request(rig, MAPS_PNG);
    snprintf(r.which, sizeof r.which, "77");
    assert_int_equal(ask(rig, &r, &a), STATUS_NOT_FOUND);
}

static void a_full_queue_is_busy_and_every_other_is_answered(void **state)
{
    Rig *rig = *state;
    MapsRequest r = map_request(rig, MAPS_PNG);
    unsigned accepted = 0, busy = 0;
    MapAnswer a = { .lock = PTHREAD_MUTEX_INITIALIZER, .done = PTHREAD_COND_INITIALIZER };

    for (int i = 0; i < 200; i++) {
        Status s = maps_submit(rig->maps, &r, answered, &a, NULL);

        assert_true(s == STATUS_OK || s == STATUS_BUSY);
        accepted += s == STATUS_OK;
        busy += s == STATUS_BUSY;
    }
    assert_true(accepted >= MAPS_QUEUE_MAX);
    assert_true(busy > 0);
    wait_answers(&a, accepted);
    assert_int_equal(a.status, STATUS_OK);
    bytes_clear(&a.result.bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(training_leaves_numbers_and_checkpoints),
        cmocka_unit_test(params_come_back_with_every_default),
        cmocka_unit_test(a_bad_training_job_is_refused_by_field),
        cmocka_unit_test(a_loss_that_explodes_fails_the_job),
        cmocka_unit_test(a_job_that_diverges_keeps_its_last_good_checkpoint),
        cmocka_unit_test(a_drained_job_ends_with_the_same_bits),
        cmocka_unit_test(evaluating_repeats_what_training_measured),
        cmocka_unit_test(a_bad_evaluation_is_refused_by_field),
        cmocka_unit_test(a_job_that_has_not_finished_cannot_be_evaluated),
        cmocka_unit_test(a_map_comes_as_picture_and_as_numbers),
        cmocka_unit_test(layers_are_listed),
        cmocka_unit_test(what_is_not_there_is_said),
        cmocka_unit_test(a_full_queue_is_busy_and_every_other_is_answered),
    };

    return cmocka_run_group_tests_name("kinds", tests, setup, rig_teardown);
}
