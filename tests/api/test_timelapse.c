/* Time-lapses over HTTP: what there is, animations, strips. */
#include "tests/unit/test.h"

#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/jobs/timelapse_file.h"
#include "tests/api/rig.h"

#define AT "/api/v1/jobs/1/timelapse"
#define JOB(timelapse)                                                                        \
    "{\"kind\": \"train\", \"params\": {\"dataset\": \"shapes\", \"train_images\": 64, "      \
    "\"test_images\": 32, \"batch_size\": 8, \"model\": {\"name\": \"resnet18\", \"width\": " \
    "4}" timelapse "}}"
#define WATCHED JOB(", \"timelapse\": {\"images\": [5, 2], \"layer\": \"layer3\"}")

enum { SIDE = 32 };

static int64_t submit(ApiRig *rig, const char *body)
{
    Reply r = api_rig_post(rig, "/api/v1/jobs", body);
    int64_t id = json_integer_value(reply_at(&r, "/id"));

    if (r.code != 201)
        fail_msg("%d: %s", r.code, r.body);
    reply_end(&r);
    return id;
}

/* What an epoch of `part` leaves: 2x2 maps of the images 5 and 2, another corner each. */
static void add_epoch(ApiRig *rig, int64_t job, const char *part, uint32_t epoch)
{
    float maps[8] = { [0] = 0.25f, [1] = 0.5f, [4 + 2] = 1 };
    char name[ARTEFACT_NAME_MAX], *path;
    TimelapseEpoch e = { .epoch = epoch,
                         .step = 8 * epoch,
                         .images = 2,
                         .height = 2,
                         .width = 2,
                         .index = { 5, 2 },
                         .label = { 7, 1 },
                         .predicted = { epoch % 10, 3 },
                         .score = { 0.5f, 0.25f },
                         .maps = maps,
                         .layer = "layer3",
                         .method = "gradcam" };
    Artefact artefact;
    FILE *out;

    maps[epoch % 4] += (float)epoch;
    timelapse_artefact_name(part, epoch, name);
    assert_int_equal(store_artefact_prepare(rig->store, job, name, &artefact, NULL), STATUS_OK);
    path = store_artefact_file(rig->store, &artefact);
    out = fopen(path, "wb");
    assert_non_null(out);
    assert_int_equal(timelapse_file_write(out, &e, NULL), STATUS_OK);
    assert_int_equal(fclose(out), 0);
    assert_int_equal(store_artefact_add(rig->store, &artefact, NULL), STATUS_OK);
    free(path);
}

static void refuses(ApiRig *rig, const char *target, int code, const char *pointer)
{
    Reply r = api_rig_get(rig, target);

    if (r.code != code)
        fail_msg("%s: %d: %s", target, r.code, r.body);
    if (pointer != NULL && !reply_names(&r, pointer))
        fail_msg("%s: %s", target, r.body);
    reply_end(&r);
}

/* --- what there is --- */

static void what_there_is_is_told(void **state)
{
    ApiRig *rig = *state;
    int64_t id = submit(rig, WATCHED);
    Reply r = api_rig_get(rig, AT);

    assert_int_equal(r.code, 200);
    assert_keys(rig, r.json, "Timelapse");
    assert_int_equal(json_array_size(reply_at(&r, "/epochs")), 0);
    assert_int_equal(json_array_size(reply_at(&r, "/labels")), 0);
    reply_end(&r);
    for (uint32_t epoch = 1; epoch <= 11; epoch++)
        add_epoch(rig, id, "", epoch);
    r = api_rig_get(rig, AT);
    assert_int_equal(r.code, 200);
    assert_true(json_is_null(reply_at(&r, "/model")));
    assert_string_equal(reply_text(&r, "/method"), "gradcam");
    assert_string_equal(reply_text(&r, "/layer"), "layer3");
    assert_int_equal(json_integer_value(reply_at(&r, "/images/0")), 5);
    assert_int_equal(json_integer_value(reply_at(&r, "/labels/0")), 7);
    assert_int_equal(json_array_size(reply_at(&r, "/epochs")), 11);
    for (int i = 0; i < 11; i++) { /* by number, not as text */
        char pointer[32];

        snprintf(pointer, sizeof pointer, "/epochs/%d/epoch", i);
        assert_int_equal(json_integer_value(reply_at(&r, pointer)), i + 1);
    }
    assert_int_equal(json_integer_value(reply_at(&r, "/epochs/1/step")), 16);
    assert_int_equal(json_integer_value(reply_at(&r, "/epochs/1/predicted/0")), 2);
    assert_true(json_real_value(reply_at(&r, "/epochs/1/score/1")) == 0.25);
    reply_end(&r);
}

static void who_asked_for_none_has_none(void **state)
{
    ApiRig *rig = *state;

    refuses(rig, AT, 404, NULL);
    refuses(rig, AT "/5.png", 404, NULL);
    (void)submit(rig, JOB(""));
    refuses(rig, AT, 404, NULL);
    refuses(rig, AT "/5.png", 404, NULL);
    (void)submit(rig, JOB(", \"timelapse\": {\"images\": []}"));
    refuses(rig, "/api/v1/jobs/2/timelapse", 404, NULL);
}

static void a_bad_query_is_named(void **state)
{
    ApiRig *rig = *state;
    int64_t id = submit(rig, WATCHED);

    refuses(rig, AT "/5.png", 409, NULL); /* not yet */
    add_epoch(rig, id, "", 1);
    refuses(rig, AT "/4.png", 404, NULL);
    refuses(rig, AT "/x.png", 404, NULL);
    refuses(rig, AT "/5.gif", 404, NULL);
    refuses(rig, AT "/5.png?as=film", 422, "/as");
    refuses(rig, AT "/5.png?fps=0", 422, "/fps");
    refuses(rig, AT "/5.png?fps=31", 422, "/fps");
    refuses(rig, AT "/5.png?scale=0", 422, "/scale");
    refuses(rig, AT "/5.png?scale=10000", 422, "/scale");
    refuses(rig, AT "/5.png?blend=2", 422, "/blend");
    refuses(rig, AT "/5.png?colormap=grey", 422, "/colormap");
    refuses(rig, AT "/5.png?model=audience", 422, "/model");
    refuses(rig, AT "/5.png?layer=layer2", 422, "/layer");
    refuses(rig, AT "?model=neither", 422, "/model");
}

/* --- pictures --- */

static uint32_t get32(const char *at)
{
    const unsigned char *b = (const unsigned char *)at;

    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

/* The file's pixels as libpng reads them, to be freed. */
static uint8_t *pixels_of(const Reply *r, uint32_t *ret_height, uint32_t *ret_width)
{
    png_image image = { .version = PNG_IMAGE_VERSION };
    uint8_t *pixels;

    assert_int_equal(r->code, 200);
    assert_string_equal(r->response.content_type, "image/png");
    assert_true(png_image_begin_read_from_memory(&image, r->body, r->size));
    image.format = PNG_FORMAT_RGB;
    pixels = malloc(PNG_IMAGE_SIZE(image));
    assert_non_null(pixels);
    assert_true(png_image_finish_read(&image, NULL, pixels, 0, NULL));
    *ret_height = image.height;
    *ret_width = image.width;
    return pixels;
}

/* The frames that an animation announces; 0: it is none. */
static uint32_t frames_of(const Reply *r)
{
    const char *at = memmem(r->body, r->size, "acTL", 4);

    return at == NULL ? 0 : get32(at + 4);
}

static void an_animation_has_a_frame_an_epoch(void **state)
{
    ApiRig *rig = *state;
    int64_t id = submit(rig, WATCHED);
    uint32_t height, width;
    Reply r;

    for (uint32_t epoch = 1; epoch <= 3; epoch++)
        add_epoch(rig, id, "", epoch);
    r = api_rig_get(rig, AT "/5.png");
    assert_int_equal(frames_of(&r), 3);
    free(pixels_of(&r, &height, &width));
    assert_int_equal(height, SIDE * 8);
    assert_int_equal(width, SIDE * 8);
    reply_end(&r);
    r = api_rig_get(rig, AT "/2.png?scale=2&fps=12");
    assert_int_equal(frames_of(&r), 3);
    free(pixels_of(&r, &height, &width));
    assert_int_equal(width, SIDE * 2);
    reply_end(&r);
}

/* Every epoch's part of the strip is the heat map of that epoch; the first also begins the
 * animation. */
static void a_strip_shows_all_epochs_side_by_side(void **state)
{
    ApiRig *rig = *state;
    int64_t id = submit(rig, WATCHED);
    uint32_t height, width, one;
    uint8_t *strip, *first;
    Reply r;

    for (uint32_t epoch = 1; epoch <= 3; epoch++)
        add_epoch(rig, id, "", epoch);
    r = api_rig_get(rig, AT "/5.png?as=strip&scale=2");
    assert_int_equal(frames_of(&r), 0);
    strip = pixels_of(&r, &height, &width);
    assert_int_equal(height, SIDE * 2);
    assert_int_equal(width, 3 * SIDE * 2 + 2 * 2);
    reply_end(&r);
    r = api_rig_get(rig, AT "/5.png?scale=2");
    first = pixels_of(&r, &height, &one);
    reply_end(&r);
    for (uint32_t y = 0; y < height; y++) {
        const uint8_t *row = strip + (size_t)y * width * 3;

        assert_memory_equal(row, first + (size_t)y * one * 3, one * 3);
        assert_memory_not_equal(row, row + (size_t)(one + 2) * 3, one * 3);
        for (uint32_t k = 0; k < 2 * 3; k++)
            assert_int_equal(row[one * 3 + k], 255);
    }
    free(strip);
    free(first);
}

static void without_a_map_the_image_is_left(void **state)
{
    ApiRig *rig = *state;
    int64_t id = submit(rig, WATCHED);
    const Dataset *d = NULL;
    uint32_t height, width;
    uint8_t *pixels;
    Reply r;

    add_epoch(rig, id, "", 1);
    assert_int_equal(datasets_find(rig->datasets, "shapes", 0, &d, NULL), STATUS_OK);
    r = api_rig_get(rig, AT "/5.png?blend=0&scale=1");
    pixels = pixels_of(&r, &height, &width);
    assert_memory_equal(pixels, d->test.pixels + 5 * SIDE * SIDE * 3, SIDE * SIDE * 3);
    free(pixels);
    reply_end(&r);
}

/* Too large a picture is refused where somebody asks for it, and not made where nobody does. */
static void many_epochs_make_smaller_frames(void **state)
{
    ApiRig *rig = *state;
    int64_t id = submit(rig, WATCHED);
    uint32_t height, width;
    Reply r;

    for (uint32_t epoch = 1; epoch <= TIMELAPSE_EPOCHS_MAX; epoch++)
        add_epoch(rig, id, "", epoch);
    refuses(rig, AT "/5.png?scale=7", 422, "/scale");
    r = api_rig_get(rig, AT "/5.png");
    assert_int_equal(frames_of(&r), TIMELAPSE_EPOCHS_MAX);
    free(pixels_of(&r, &height, &width));
    assert_int_equal(width, SIDE * 6); /* 200 (32 * 6)^2 < 2^23 */
    reply_end(&r);
}

static void a_picture_is_fetched_again_only_where_it_has_changed(void **state)
{
    ApiRig *rig = *state;
    int64_t id = submit(rig, WATCHED);
    char tag[HEADER_VALUE_MAX];
    Reply r;

    add_epoch(rig, id, "", 1);
    r = api_rig_get(rig, AT "/5.png");
    snprintf(tag, sizeof tag, "%s", reply_header(&r, "ETag"));
    assert_int_equal(strlen(tag), 66);
    reply_end(&r);
    r = api_rig_send(rig, (Request){ .target = AT "/5.png", .if_none_match = tag });
    assert_int_equal(r.code, 304);
    reply_end(&r);
    r = api_rig_send(rig, (Request){ .target = AT "/5.png?fps=5", .if_none_match = tag });
    assert_int_equal(r.code, 200);
    reply_end(&r);
    add_epoch(rig, id, "", 2);
    r = api_rig_send(rig, (Request){ .target = AT "/5.png", .if_none_match = tag });
    assert_int_equal(r.code, 200);
    assert_string_not_equal(reply_header(&r, "ETag"), tag);
    assert_int_equal(frames_of(&r), 2);
    reply_end(&r);
}

static void of_two_networks_one_is_chosen(void **state)
{
    ApiRig *rig = *state;
    int64_t id = submit(rig, WATCHED);
    Reply r;

    add_epoch(rig, id, "explainer", 1);
    add_epoch(rig, id, "explainer", 2);
    add_epoch(rig, id, "audience", 1);
    r = api_rig_get(rig, AT);
    assert_string_equal(reply_text(&r, "/model"), "explainer");
    assert_int_equal(json_array_size(reply_at(&r, "/epochs")), 2);
    reply_end(&r);
    r = api_rig_get(rig, AT "?model=audience");
    assert_string_equal(reply_text(&r, "/model"), "audience");
    assert_int_equal(json_array_size(reply_at(&r, "/epochs")), 1);
    reply_end(&r);
    r = api_rig_get(rig, AT "/5.png?model=audience");
    assert_int_equal(frames_of(&r), 1);
    reply_end(&r);
    r = api_rig_get(rig, AT "/5.png");
    assert_int_equal(frames_of(&r), 2);
    reply_end(&r);
}

static void a_spoilt_file_is_no_picture(void **state)
{
    ApiRig *rig = *state;
    int64_t id = submit(rig, WATCHED);
    char path[256];

    add_epoch(rig, id, "", 1);
    snprintf(path, sizeof path, "%s/jobs/%lld/timelapse/1.safetensors", store_directory(rig->store),
             (long long)id);
    scratch_write(path, "spoilt");
    refuses(rig, AT, 500, NULL);
    refuses(rig, AT "/5.png", 500, NULL);
}

#define with_rig(test) cmocka_unit_test_setup_teardown(test, api_rig_setup, api_rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_rig(what_there_is_is_told),
        with_rig(who_asked_for_none_has_none),
        with_rig(a_bad_query_is_named),
        with_rig(an_animation_has_a_frame_an_epoch),
        with_rig(a_strip_shows_all_epochs_side_by_side),
        with_rig(without_a_map_the_image_is_left),
        with_rig(many_epochs_make_smaller_frames),
        with_rig(a_picture_is_fetched_again_only_where_it_has_changed),
        with_rig(of_two_networks_one_is_chosen),
        with_rig(a_spoilt_file_is_no_picture),
    };

    return cmocka_run_group_tests(tests, api_rig_open, api_rig_close);
}
