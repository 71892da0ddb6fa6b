/* Pictures that somebody sends: explained as images of the data set are, kept once, the newest
 * only; and everything that is no such picture or no such form. */
#include "tests/unit/test.h"

#include "tests/api/trained.h"
#include "tests/unit/pictures.h"

#define PATH "/api/v1/explanations"
#define BOUNDARY "XXXX"
#define SPEC "{\"checkpoint\": {\"job\": 1}}"

static int setup(void **state)
{
    ApiRig *rig;

    assert_int_equal(api_rig_setup(state), 0);
    rig = *state;
    assert_int_equal(submit_job(rig, TRAIN_BODY), 1);
    add_network(rig, 1, 1);
    return 0;
}

/* A form of both parts; NULL: left out. */
static Reply send_form(ApiRig *rig, const Picture *image, const char *spec)
{
    char *body = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&body, &size);
    Reply r;

    assert_non_null(out);
    if (image != NULL) {
        fputs("--" BOUNDARY "\r\nContent-Disposition: form-data; name=\"image\"; "
              "filename=\"a.png\"\r\nContent-Type: image/png\r\n\r\n",
              out);
        fwrite(image->bytes, 1, image->size, out);
        fputs("\r\n", out);
    }
    if (spec != NULL)
        fprintf(out,
                "--" BOUNDARY "\r\nContent-Disposition: form-data; name=\"spec\"\r\n\r\n%s\r\n",
                spec);
    fputs("--" BOUNDARY "--\r\n", out);
    assert_int_equal(fclose(out), 0);
    r = api_rig_send(rig, (Request){ .method = METHOD_POST,
                                     .target = PATH,
                                     .content_type = "multipart/form-data; boundary=" BOUNDARY,
                                     .body = body,
                                     .body_size = size });
    free(body);
    return r;
}

/* Takes the picture. */
static Reply send_picture(ApiRig *rig, Picture picture, const char *spec)
{
    Reply r = send_form(rig, &picture, spec);

    free(picture.bytes);
    return r;
}

static double number_at(const Reply *r, const char *pointer)
{
    const json_t *value = reply_at(r, pointer);

    if (!json_is_number(value))
        fail_msg("no number at %s of %s", pointer, r->body);
    return json_number_value(value);
}

/* ---- what is answered ---- */

static void a_picture_is_explained_and_kept(void **state)
{
    ApiRig *rig = *state;
    Reply r = send_picture(rig, picture_flat(50, 40, 200, 30, 90), SPEC), again;
    double last = 1, sum = 0;

    if (r.code != 201)
        fail_msg("%d: %s", r.code, r.body);
    assert_string_equal(reply_header(&r, "Location"), PATH "/1");
    assert_keys(rig, r.json, "Explanation");
    assert_keys(rig, reply_at(&r, "/class"), "ExplanationClass");
    assert_int_equal(json_array_size(reply_at(&r, "/prediction")), 5);
    for (size_t i = 0; i < 5; i++) {
        const json_t *one = json_array_get(reply_at(&r, "/prediction"), i);
        double score = json_number_value(json_object_get(one, "score"));

        assert_true(score <= last && score > 0);
        sum += score;
        last = score;
    }
    assert_true(sum < 1.0001);
    assert_true(json_equal(reply_at(&r, "/class"), reply_at(&r, "/prediction/0")));
    assert_true(reply_text(&r, "/class/name")[0] != '\0');
    assert_int_equal(number_at(&r, "/image/width"), 50);
    assert_int_equal(number_at(&r, "/image/height"), 40);
    assert_int_equal(number_at(&r, "/map/height"), 8);
    assert_int_equal(number_at(&r, "/checkpoint/epoch"), 1);
    assert_string_equal(reply_text(&r, "/method"), "gradcam");
    again = api_rig_get(rig, reply_text(&r, "/links/self"));
    assert_int_equal(again.code, 200);
    assert_true(json_equal(again.json, r.json));
    reply_end(&again);
    again = send_picture(rig, picture_flat(50, 40, 200, 30, 90), SPEC);
    assert_int_equal(again.code, 200);
    assert_string_equal(reply_header(&again, "Location"), PATH "/1");
    assert_true(json_equal(again.json, r.json));
    reply_end(&again);
    reply_end(&r);
}

/* Image `item` of the test split of `shapes` as a file. */
static Picture shapes_picture(ApiRig *rig, uint32_t item)
{
    const Dataset *dataset = NULL;

    assert_int_equal(datasets_find(rig->datasets, "shapes", 0, &dataset, NULL), STATUS_OK);
    return picture_rgb(32, 32, dataset->test.pixels + (size_t)item * 32 * 32 * 3);
}

static void it_is_explained_as_the_data_sets_images_are(void **state)
{
    static const struct {
        const char *spec, *query;
    } rows[] = {
        { SPEC, "" },
        { "{\"checkpoint\": {\"job\": 1, \"epoch\": 1}, \"layer\": \"layer2,layer3\", "
          "\"class\": 4}",
          "?layer=layer2,layer3&class=4" },
        { "{\"checkpoint\": {\"job\": 1}, \"method\": \"input_gradient\", \"flips\": true, "
          "\"signed\": true}",
          "?method=input_gradient&flips=1&signed=1" },
    };
    ApiRig *rig = *state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Reply sent = send_picture(rig, shapes_picture(rig, 7), rows[i].spec), sent_map, map;
        char target[128];

        if (sent.code != 201)
            fail_msg("%d: %s", sent.code, sent.body);
        sent_map = api_rig_get(rig, reply_text(&sent, "/links/npy"));
        snprintf(target, sizeof target, "/api/v1/jobs/1/heatmaps/7.npy%s", rows[i].query);
        map = api_rig_get(rig, target);
        assert_int_equal(map.code, 200);
        assert_int_equal(sent_map.size, map.size);
        assert_memory_equal(sent_map.body, map.body, map.size);
        assert_int_equal(number_at(&sent, "/prediction/0/class"),
                         strtol(reply_header(&map, "Leased-Predicted"), NULL, 10));
        assert_true(fabs(number_at(&sent, "/class/score") -
                         strtod(reply_header(&map, "Leased-Score"), NULL)) < 1e-5);
        reply_end(&map);
        reply_end(&sent_map);
        reply_end(&sent);
    }
}

static void its_picture_is_that_of_the_data_sets_image(void **state)
{
    ApiRig *rig = *state;
    Reply sent = send_picture(rig, shapes_picture(rig, 3), SPEC);
    Reply theirs = api_rig_get(rig, "/api/v1/jobs/1/heatmaps/3.png?scale=3&colormap=jet");
    Reply ours = api_rig_get(rig, PATH "/1.png?scale=3&colormap=jet"), again;

    assert_int_equal(sent.code, 201);
    assert_int_equal(ours.code, 200);
    assert_int_equal(ours.size, theirs.size);
    assert_memory_equal(ours.body, theirs.body, ours.size);
    again = api_rig_send(rig, (Request){ .target = PATH "/1.png?scale=3&colormap=jet",
                                         .if_none_match = reply_header(&ours, "ETag") });
    assert_int_equal(again.code, 304);
    reply_end(&again);
    again = api_rig_get(rig, PATH "/1.npy");
    assert_int_equal(strlen(reply_header(&again, "ETag")), 66);
    reply_end(&theirs);
    theirs = api_rig_send(
        rig, (Request){ .target = PATH "/1.npy", .if_none_match = reply_header(&again, "ETag") });
    assert_int_equal(theirs.code, 304);
    reply_end(&again);
    reply_end(&theirs);
    reply_end(&ours);
    reply_end(&sent);
}

static Picture picture_kind(int kind)
{
    static const png_color palette[] = { { 10, 20, 30 }, { 200, 100, 50 } };
    uint8_t samples[40 * 40 * 8];

    for (size_t i = 0; i < sizeof samples; i++)
        samples[i] = (uint8_t)(i * 37 + i / 7 * 11);
    switch (kind) {
    case 0:
        return picture_png((PngKind){ .color = PNG_COLOR_TYPE_GRAY, .depth = 8 }, 40, 40, samples,
                           40);
    case 1:
        return picture_png((PngKind){ .color = PNG_COLOR_TYPE_RGB, .depth = 16 }, 40, 40, samples,
                           40 * 6);
    case 2:
        return picture_png((PngKind){ .color = PNG_COLOR_TYPE_RGB_ALPHA, .depth = 8 }, 40, 40,
                           samples, 160);
    case 3:
        return picture_png((PngKind){ PNG_COLOR_TYPE_PALETTE, 1, true, palette, 2, NULL }, 40, 40,
                           samples, 5);
    case 4:
        return picture_jpeg(
            (JpegKind){ .in = JCS_GRAYSCALE, .file = JCS_GRAYSCALE, .components = 1 }, 40, 40,
            samples);
    case 5:
        return picture_jpeg((JpegKind){ .in = JCS_RGB, .file = JCS_YCbCr, .components = 3 }, 40, 40,
                            samples);
    case 6:
        return picture_flat(1, 900, 1, 2, 3);
    default:
        return picture_flat(2000, 1500, 9, 8, 7);
    }
}

static void pictures_of_every_kind_and_size_are_taken(void **state)
{
    for (int kind = 0; kind < 8; kind++) {
        Reply r = send_picture(*state, picture_kind(kind), SPEC);

        if (r.code != 201)
            fail_msg("kind %d: %d %s", kind, r.code, r.body);
        reply_end(&r);
    }
}

static void the_list_is_paged_newest_first(void **state)
{
    ApiRig *rig = *state;
    char target[96] = PATH "?limit=2";
    int64_t expect = 5;

    for (uint8_t i = 0; i < 5; i++) {
        Reply r = send_picture(rig, picture_flat(8, 8, i, 0, 0), SPEC);

        assert_int_equal(r.code, 201);
        reply_end(&r);
    }
    while (*target != '\0') {
        Reply r = api_rig_get(rig, target);
        const json_t *items = reply_at(&r, "/items");

        assert_int_equal(r.code, 200);
        assert_keys(rig, reply_at(&r, "/items/0"), "Explanation");
        for (size_t i = 0; i < json_array_size(items); i++)
            assert_int_equal(json_integer_value(json_object_get(json_array_get(items, i), "id")),
                             expect--);
        if (json_is_null(reply_at(&r, "/next")))
            target[0] = '\0';
        else
            snprintf(target, sizeof target, PATH "?limit=2&cursor=%s", reply_text(&r, "/next"));
        reply_end(&r);
    }
    assert_int_equal(expect, 0);
}

static void either_network_of_a_lease_explains(void **state)
{
    ApiRig *rig = *state;
    Reply explainer, audience;

    assert_int_equal(submit_job(rig, LEASE_BODY), 2);
    add_two_networks(rig, 2, 1);
    explainer = send_picture(rig, picture_kind(2), "{\"checkpoint\": {\"job\": 2}}");
    audience = send_picture(rig, picture_kind(2),
                            "{\"checkpoint\": {\"job\": 2}, \"model\": \"audience\"}");
    assert_int_equal(explainer.code, 201);
    assert_int_equal(audience.code, 201);
    assert_true(json_is_null(reply_at(&explainer, "/checkpoint/model")));
    assert_string_equal(reply_text(&audience, "/checkpoint/model"), "audience");
    assert_false(
        json_equal(reply_at(&explainer, "/prediction"), reply_at(&audience, "/prediction")));
    reply_end(&explainer);
    reply_end(&audience);
}

/* ---- what is refused ---- */

static void assert_problem(Reply r, int code, const char *pointer, const char *word)
{
    if (r.code != code || (pointer != NULL && !reply_names(&r, pointer)) ||
        (word != NULL && strstr(r.body, word) == NULL) ||
        strcmp(r.response.content_type, "application/problem+json") != 0)
        fail_msg("expected %d %s %s, got %d %s", code, pointer != NULL ? pointer : "",
                 word != NULL ? word : "", r.code, r.body);
    reply_end(&r);
}

static void nothing_is_kept(ApiRig *rig)
{
    Reply r = api_rig_get(rig, PATH);

    assert_int_equal(json_array_size(reply_at(&r, "/items")), 0);
    reply_end(&r);
}

/* Only its header says that it is 50,000 pixels wide and high. */
static Picture bomb(void)
{
    Picture p = picture_flat(1, 1, 0, 0, 0);
    const uint8_t header[] = { 0, 0, 0xc3, 0x50, 0, 0, 0xc3, 0x50 };
    uint32_t crc = ~0u;

    memcpy(p.bytes + 16, header, sizeof header);
    for (size_t i = 12; i < 29; i++) {
        crc ^= p.bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    for (int i = 0; i < 4; i++)
        p.bytes[29 + i] = (uint8_t)(~crc >> (24 - 8 * i));
    return p;
}

static Picture cut(Picture p, size_t size)
{
    p.size = size;
    return p;
}

static Picture text_picture(const char *text)
{
    return (Picture){ (uint8_t *)strdup(text), strlen(text) };
}

static void what_is_no_picture_is_named(void **state)
{
    ApiRig *rig = *state;
    Picture whole = picture_kind(5);

    assert_problem(send_picture(rig, bomb(), SPEC), 422, "/image", "50000 x 50000");
    assert_problem(send_picture(rig, cut(whole, whole.size / 2), SPEC), 422, "/image",
                   "damaged JPEG");
    assert_problem(send_picture(rig, cut(picture_kind(1), 200), SPEC), 422, "/image",
                   "damaged PNG");
    assert_problem(send_picture(rig, text_picture("GIF89a, or so"), SPEC), 422, "/image",
                   "neither");
    assert_problem(send_picture(rig, text_picture(""), SPEC), 422, "/image", "empty");
    nothing_is_kept(rig);
}

static void what_is_wrong_with_the_spec_is_named(void **state)
{
    static const struct {
        const char *spec;
        int code;
        const char *pointer, *word;
    } rows[] = {
        { "", 422, "/spec", NULL },
        { "{", 422, "/spec", NULL },
        { "[]", 422, "/spec", NULL },
        { "{}", 422, "/spec/checkpoint", NULL },
        { "{\"checkpoint\": 1}", 422, "/spec/checkpoint", NULL },
        { "{\"checkpoint\": {\"job\": \"1\"}}", 422, "/spec/checkpoint/job", NULL },
        { "{\"checkpoint\": {\"job\": 9}}", 422, "/spec/checkpoint", "9" },
        { "{\"checkpoint\": {\"job\": 1, \"epoch\": 7}}", 422, "/spec/checkpoint", "7" },
        { "{\"checkpoint\": {\"job\": 1, \"epoch\": \"first\"}}", 422, "/spec/checkpoint/epoch",
          NULL },
        { "{\"checkpoint\": {\"job\": 2}}", 409, NULL, "no checkpoint yet" },
        { "{\"checkpoint\": {\"job\": 3}}", 422, "/spec/checkpoint", "32x32x6" },
        { "{\"checkpoint\": {\"job\": 1}, \"colour\": 1}", 422, "/spec/colour", "method" },
        { "{\"checkpoint\": {\"job\": 1}, \"method\": \"guess\"}", 422, "/spec/method", "gradcam" },
        { "{\"checkpoint\": {\"job\": 1}, \"method\": 3}", 422, "/spec/method", NULL },
        { "{\"checkpoint\": {\"job\": 1}, \"layer\": \"nowhere\"}", 422, "/spec/layer", "layer3" },
        { "{\"checkpoint\": {\"job\": 1}, \"layer\": [\"layer3\"]}", 422, "/spec/layer", NULL },
        { "{\"checkpoint\": {\"job\": 1}, \"class\": 10}", 422, "/spec/class", "10" },
        { "{\"checkpoint\": {\"job\": 1}, \"class\": -1}", 422, "/spec/class", NULL },
        { "{\"checkpoint\": {\"job\": 1}, \"class\": \"cat\"}", 422, "/spec/class", NULL },
        { "{\"checkpoint\": {\"job\": 1}, \"flips\": \"yes\"}", 422, "/spec/flips", NULL },
        { "{\"checkpoint\": {\"job\": 1}, \"seed\": 1.5}", 422, "/spec/seed", NULL },
        { "{\"checkpoint\": {\"job\": 1}, \"model\": \"audience\"}", 422, "/spec/model", NULL },
        { "{\"checkpoint\": {\"job\": 1}, \"model\": \"teacher\"}", 422, "/spec/model", NULL },
    };
    ApiRig *rig = *state;
    Checkpoint c;
    char *path;

    assert_int_equal(submit_job(rig, TRAIN_BODY), 2);
    assert_int_equal(submit_job(rig, TRAIN_BODY), 3);
    c = begin_checkpoint(rig, 3, 1, &path);
    write_network(path, 1, 6);
    end_checkpoint(rig, &c, path);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_problem(send_picture(rig, picture_flat(8, 8, 1, 2, 3), rows[i].spec), rows[i].code,
                       rows[i].pointer, rows[i].word);
    nothing_is_kept(rig);
}

static void a_form_without_its_parts_is_refused(void **state)
{
    ApiRig *rig = *state;
    Picture p = picture_flat(8, 8, 1, 2, 3);
    Request req = { .method = METHOD_POST,
                    .target = PATH,
                    .content_type = "multipart/form-data; boundary=" BOUNDARY };

    assert_problem(send_form(rig, &p, NULL), 422, "/spec", "missing");
    assert_problem(send_form(rig, NULL, SPEC), 422, "/image", "missing");
    req.body = "--" BOUNDARY "--\r\n";
    req.body_size = strlen(req.body);
    assert_problem(api_rig_send(rig, req), 422, "/image", "missing");
    req.body = "--" BOUNDARY "\r\nContent-Disposition: form-data; name=\"colour\"\r\n\r\nred\r\n"
               "--" BOUNDARY "--\r\n";
    req.body_size = strlen(req.body);
    assert_problem(api_rig_send(rig, req), 422, "/colour", "no part");
    req.body = "";
    req.body_size = 0;
    assert_problem(api_rig_send(rig, req), 400, NULL, "boundary");
    req.content_type = "application/json";
    req.body = "{}";
    req.body_size = 2;
    assert_problem(api_rig_send(rig, req), 415, NULL, "multipart/form-data");
    req.body_too_large = true;
    assert_problem(api_rig_send(rig, req), 413, NULL, "16777216");
    req.body_too_large = false;
    req.body_refused = true;
    assert_problem(api_rig_send(rig, req), 503, NULL, NULL);
    nothing_is_kept(rig);
    free(p.bytes);
}

static void what_is_not_there_is_not_found(void **state)
{
    static const struct {
        const char *target;
        int code;
    } rows[] = {
        { PATH "/1", 404 },
        { PATH "/x", 404 },
        { PATH "/1.png", 404 },
        { PATH "/1.npy", 404 },
        { PATH "/x.png", 404 },
        { PATH "/1.gif", 404 },
        { PATH "?limit=0", 422 },
        { PATH "?cursor=x", 422 },
        { PATH "/1.png?scale=33", 422 },
        { PATH "/1.png?layer=a", 422 },
        { PATH "/1.npy?scale=2", 422 },
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_problem(api_rig_get(*state, rows[i].target), rows[i].code, NULL, NULL);
}

#define with_job(test) cmocka_unit_test_setup_teardown(test, setup, api_rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_job(a_picture_is_explained_and_kept),
        with_job(it_is_explained_as_the_data_sets_images_are),
        with_job(its_picture_is_that_of_the_data_sets_image),
        with_job(pictures_of_every_kind_and_size_are_taken),
        with_job(the_list_is_paged_newest_first),
        with_job(either_network_of_a_lease_explains),
        with_job(what_is_no_picture_is_named),
        with_job(what_is_wrong_with_the_spec_is_named),
        with_job(a_form_without_its_parts_is_refused),
        with_job(what_is_not_there_is_not_found),
    };

    return cmocka_run_group_tests(tests, api_rig_open, api_rig_close);
}
