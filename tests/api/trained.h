/* Jobs with checkpoints of real networks, which nobody has trained, for tests of what looks into
 * them; and pictures read back. */
#pragma once

#include <math.h>
#include <string.h>

#include "core/data/image_decode.h"
#include "tests/api/rig.h"
#include "tests/unit/networks.h"

static inline int64_t submit_job(ApiRig *rig, const char *body)
{
    Reply r = api_rig_post(rig, "/api/v1/jobs", body);
    int64_t id = json_integer_value(reply_at(&r, "/id"));

    if (r.code != 201)
        fail_msg("%d: %s", r.code, r.body);
    reply_end(&r);
    return id;
}

/* A training job's body; images of 32x32x3, 10 classes. */
#define TRAIN_BODY                                                                             \
    "{\"kind\": \"train\", \"params\": {\"dataset\": \"shapes\", \"train_images\": 64, "       \
    "\"val_images\": 16, \"test_images\": 32, \"model\": {\"name\": \"resnet18\", \"width\": " \
    "4}}}"

/* A lease's: the same images, two networks. */
#define LEASE_BODY                                                                       \
    "{\"kind\": \"lease\", \"params\": {\"dataset\": \"shapes\", \"train_images\": 64, " \
    "\"explainer\": {\"batch_size\": 8}, \"audience\": {\"batch_size\": 8}}}"

static inline void write_network(const char *path, uint64_t seed, uint32_t channels)
{
    Network network =
        network_of("resnet18", SETS({ "width", 4 }), (ModelInput){ 32, 32, channels, 10 });

    network_randomise(&network, seed);
    network_write(&network, path);
    network_clear(&network);
}

/* The row of a file that write(path) makes. */
static inline Checkpoint begin_checkpoint(ApiRig *rig, int64_t job, uint32_t epoch, char **ret_path)
{
    Checkpoint c;

    assert_int_equal(store_checkpoint_prepare(rig->store, job, epoch * 10, &c, NULL), STATUS_OK);
    c.epoch = epoch;
    c.score = (double)NAN;
    c.pinned = true;
    *ret_path = store_checkpoint_file(rig->store, &c);
    return c;
}

static inline void end_checkpoint(ApiRig *rig, Checkpoint *c, char *path)
{
    JobProgress progress = { .epoch = c->epoch, .epochs = 9, .step = c->step, .steps = 90 };

    free(path);
    assert_int_equal(store_checkpoint_add(rig->store, c, NULL, 0, &progress, NULL), STATUS_OK);
}

/* A network of the job at the end of an epoch; each epoch's is another. */
static inline void add_network(ApiRig *rig, int64_t job, uint32_t epoch)
{
    char *path;
    Checkpoint c = begin_checkpoint(rig, job, epoch, &path);

    write_network(path, 100 * (uint64_t)job + epoch, 3);
    end_checkpoint(rig, &c, path);
}

/* Two networks in one file, as a `lease` leaves them. */
static inline void add_two_networks(ApiRig *rig, int64_t job, uint32_t epoch)
{
    static const char *const parts[] = { "explainer", "audience" };
    enum { MOST = 400, NAME = 160 };
    StTensor *tensor = calloc(MOST, sizeof *tensor);
    StMeta *meta = calloc(MOST, sizeof *meta);
    char(*names)[NAME] = calloc(2 * MOST, sizeof *names), *path;
    Checkpoint c = begin_checkpoint(rig, job, epoch, &path);
    size_t tensors = 0, metas = 0, used = 0;
    StFile *file[2];
    FILE *out;

    assert_true(tensor != NULL && meta != NULL && names != NULL);
    for (int p = 0; p < 2; p++) {
        const char *alone = scratch_path(&rig->scratch, parts[p]);

        write_network(alone, 7 * (uint64_t)job + (uint64_t)p, 3);
        assert_int_equal(safetensors_open(alone, &file[p], NULL), STATUS_OK);
        assert_true(tensors + safetensors_count(file[p]) <= MOST);
        for (size_t i = 0; i < safetensors_count(file[p]); i++, used++) {
            tensor[tensors] = *safetensors_at(file[p], i);
            snprintf(names[used], NAME, "%s.%s", parts[p], tensor[tensors].name);
            tensor[tensors++].name = names[used];
        }
        for (size_t i = 0; i < safetensors_metadata_count(file[p]); i++, used++) {
            meta[metas] = safetensors_metadata_at(file[p], i);
            snprintf(names[used], NAME, "%s.%s", parts[p], meta[metas].key);
            meta[metas++].key = names[used];
        }
    }
    out = fopen(path, "wb");
    assert_non_null(out);
    assert_int_equal(safetensors_write(out, tensor, tensors, meta, metas, NULL), STATUS_OK);
    assert_int_equal(fclose(out), 0);
    end_checkpoint(rig, &c, path);
    for (int p = 0; p < 2; p++)
        safetensors_close(file[p]);
    free(names);
    free(meta);
    free(tensor);
}

/* The reply's PNG; image_clear() it. */
static inline Image picture_of(const Reply *r)
{
    Image image = { 0 };
    Error err = { 0 };

    if (r->code != 200)
        fail_msg("%d: %s", r->code, r->body);
    assert_string_equal(r->response.content_type, "image/png");
    if (image_decode((const uint8_t *)r->body, r->size, &image, &err) != STATUS_OK)
        fail_msg("%s", error_message(&err));
    return image;
}

/* Height and width of the reply's .npy; its numbers, in *ret_values. */
static inline void array_of(const Reply *r, uint32_t *ret_height, uint32_t *ret_width,
                            const float **ret_values)
{
    const char *shape = r->code == 200 ? strstr(r->body + 10, "'shape': (") : NULL;

    if (shape == NULL)
        fail_msg("%d: %s", r->code, r->body);
    *ret_height = (uint32_t)strtoul(shape + 10, NULL, 10);
    *ret_width = (uint32_t)strtoul(strchr(shape, ',') + 1, NULL, 10);
    assert_int_equal(r->size, 128 + 4 * (size_t)*ret_height * *ret_width);
    *ret_values = (const float *)(const void *)(r->body + 128);
}
