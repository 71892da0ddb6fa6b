/* Heat maps and contact sheets over the API: what is asked for is what is drawn, nothing is
 * computed twice, and what makes no sense is named. */
#include "tests/unit/test.h"

#include "tests/api/trained.h"

#define HEAT "/api/v1/jobs/1/heatmaps/"
#define SHEET HEAT "sheet.png"

/* Job 1 has two epochs. */
static int setup(void **state)
{
    ApiRig *rig;

    assert_int_equal(api_rig_setup(state), 0);
    rig = *state;
    assert_int_equal(submit_job(rig, TRAIN_BODY), 1);
    add_network(rig, 1, 1);
    add_network(rig, 1, 2);
    return 0;
}

static char *etag_of(ApiRig *rig, const char *target)
{
    Reply r = api_rig_get(rig, target);
    char *etag = strdup(reply_header(&r, "ETag"));

    if (r.code != 200)
        fail_msg("%s -> %d %s", target, r.code, r.body);
    assert_int_equal(strlen(etag), 66);
    reply_end(&r);
    return etag;
}

/* ---- content is what an answer is known by ---- */

static void the_same_picture_is_computed_once(void **state)
{
    ApiRig *rig = *state;
    Reply first = api_rig_get(rig, HEAT "3.png?layer=layer3"),
          second = api_rig_get(rig, HEAT "3.png?layer=layer3");
    MapsCounts counts = maps_counts(rig->maps);

    assert_int_equal(first.code, 200);
    assert_int_equal(counts.computed, 1);
    assert_int_equal(counts.cached, 1);
    assert_int_equal(first.size, second.size);
    assert_memory_equal(first.body, second.body, first.size);
    assert_int_equal(first.response.headers, second.response.headers);
    for (uint32_t i = 0; i < first.response.headers; i++)
        if (strcmp(first.response.header[i].name, "X-Request-Id") != 0)
            assert_string_equal(reply_header(&second, first.response.header[i].name),
                                first.response.header[i].value);
    assert_string_equal(reply_header(&first, "Cache-Control"), "private, no-cache");
    reply_end(&first);
    reply_end(&second);
}

static void who_has_the_picture_is_told_so(void **state)
{
    static const char *const targets[] = { HEAT "0.png", HEAT "0.npy", SHEET "?images=0",
                                           "/api/v1/jobs/1/layers" };
    ApiRig *rig = *state;

    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        char *etag = etag_of(rig, targets[i]);
        Reply r = api_rig_send(rig, (Request){ .target = targets[i], .if_none_match = etag });

        assert_int_equal(r.code, 304);
        assert_int_equal(r.size, 0);
        assert_string_equal(reply_header(&r, "ETag"), etag);
        assert_int_equal(maps_counts(rig->maps).computed, i + 1);
        reply_end(&r);
        free(etag);
    }
}

static void a_new_checkpoint_is_a_new_picture(void **state)
{
    ApiRig *rig = *state;
    char *before = etag_of(rig, HEAT "0.png"), *named = etag_of(rig, HEAT "0.png?epoch=2"), *after;

    assert_string_equal(before, named); /* however the checkpoint is called */
    add_network(rig, 1, 3);
    after = etag_of(rig, HEAT "0.png");
    assert_string_not_equal(before, after);
    assert_int_equal(maps_counts(rig->maps).computed, 2);
    free(before);
    free(named);
    free(after);
}

/* Each of these differs from all the others. */
static void what_matters_is_in_the_key(void **state)
{
    static const char *const targets[] = {
        HEAT "0.png",
        HEAT "1.png",
        HEAT "0.npy",
        HEAT "0.png?split=train",
        HEAT "0.png?split=val",
        HEAT "0.png?epoch=1",
        HEAT "0.png?layer=layer2",
        HEAT "0.png?layer=layer2,layer3",
        HEAT "0.png?class=3",
        HEAT "0.png?method=hirescam",
        HEAT "0.png?blend=0.25",
        HEAT "0.png?scale=4",
        HEAT "0.png?colormap=jet",
        HEAT "0.png?signed=1",
        HEAT "0.png?flips=1",
        HEAT "0.png?method=smoothgrad",
        HEAT "0.png?method=smoothgrad&seed=1",
        SHEET "?images=0",
        SHEET "?images=0,1",
        SHEET "?images=0&classes=1",
        SHEET "?images=0&by=layers",
        SHEET "?images=0&by=layers&layers=layer2",
        SHEET "?images=0&by=epochs",
        SHEET "?images=0&by=methods&methods=gradcam",
        SHEET "?images=0&by=models",
        SHEET "?images=0&scale=2",
        "/api/v1/jobs/1/layers",
    };
    enum { COUNT = sizeof targets / sizeof *targets };
    char *etag[COUNT];

    for (int i = 0; i < COUNT; i++) {
        etag[i] = etag_of(*state, targets[i]);
        for (int j = 0; j < i; j++)
            if (strcmp(etag[i], etag[j]) == 0)
                fail_msg("%s and %s have one key", targets[j], targets[i]);
    }
    for (int i = 0; i < COUNT; i++)
        free(etag[i]);
}

static void what_does_not_matter_is_not(void **state)
{
    char *plain = etag_of(*state, HEAT "0.npy?layer=layer3"),
         *drawn = etag_of(*state, HEAT "0.npy?layer=layer3&scale=3&blend=0&colormap=jet&epoch=2");

    assert_string_equal(plain, drawn);
    free(plain);
    free(drawn);
}

/* ---- maps ---- */

static void layers_are_fused_at_the_largest_size(void **state)
{
    Reply r = api_rig_get(*state, HEAT "0.npy?layer=layer4,layer2,layer3&class=1");
    const float *values;
    float low = 1, high = 0;
    uint32_t height, width;

    array_of(&r, &height, &width, &values);
    assert_int_equal(height, 16);
    assert_int_equal(width, 16);
    for (uint32_t i = 0; i < height * width; i++) {
        low = fminf(low, values[i]);
        high = fmaxf(high, values[i]);
    }
    assert_true(low == 0 && high > 0.999f && high <= 1);
    reply_end(&r);
}

static void every_method_answers_at_its_own_size(void **state)
{
    for (size_t i = 0; cam_table[i] != NULL; i++) {
        bool pixels = (cam_table[i]->needs & CAM_PIXELS) != 0;
        bool last = (cam_table[i]->needs & CAM_HEAD) != 0;
        const float *values;
        uint32_t height, width;
        char target[128];
        Reply r;

        snprintf(target, sizeof target, HEAT "0.npy?method=%s", cam_table[i]->described.name);
        r = api_rig_get(*state, target);
        array_of(&r, &height, &width, &values);
        assert_int_equal(height, pixels ? 32 : last ? 4 : 8);
        for (uint32_t p = 0; p < height * width; p++)
            if (!isfinite(values[p]) || values[p] < 0)
                fail_msg("%s has a %g", cam_table[i]->described.name, (double)values[p]);
        reply_end(&r);
    }
}

typedef struct Bad {
    const char *target;
    int code;
    const char *pointer, *word; /* NULL: not looked at */
} Bad;

static void check_bad(ApiRig *rig, const Bad *bad, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        Reply r = api_rig_get(rig, bad[i].target);

        if (r.code != bad[i].code || (bad[i].pointer != NULL && !reply_names(&r, bad[i].pointer)) ||
            (bad[i].word != NULL && strstr(r.body, bad[i].word) == NULL) ||
            strcmp(r.response.content_type, "application/problem+json") != 0)
            fail_msg("%s -> %d %s", bad[i].target, r.code, r.body);
        reply_end(&r);
    }
    assert_int_equal(maps_counts(rig->maps).entries, 0);
}

static void a_map_that_cannot_be_is_named_and_never_kept(void **state)
{
    static const Bad bad[] = {
        { HEAT "0.png?layer=nowhere", 422, "/layer", "layer1, layer2, layer3, layer4" },
        { HEAT "0.png?layer=layer2,nowhere", 422, "/layer", "layer3" },
        { HEAT "0.png?layer=fc", 422, "/layer", NULL },
        { HEAT "0.png?layer=,", 422, "/layer", NULL },
        { HEAT "0.png?layer=layer3,,layer2", 422, "/layer", NULL },
        { HEAT "0.png?layer=a,a,a,a,a,a,a,a,a", 422, "/layer", "8" },
        { HEAT
          "0.png?layer=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
          422, "/layer", NULL },
        { HEAT "0.png?layer=layer3&method=input_gradient", 422, "/layer", NULL },
        { HEAT "0.png?layer=layer3&method=cam", 422, "/layer", "layer4" },
        { HEAT "0.png?class=10", 422, "/class", "10" },
        { HEAT "0.png?class=99999999999", 422, "/class", NULL },
        { HEAT "0.png?method=guess", 422, "/method", "scorecam" },
        { HEAT "0.png?scale=10000", 422, "/scale", NULL },
        { HEAT "0.png?flips=2", 422, "/flips", NULL },
        { HEAT "0.png?seed=-1", 422, "/seed", NULL },
        { HEAT "0.png?model=audience", 422, "/model", NULL },
        { HEAT "0.png?epoch=x", 422, "/epoch", NULL },
        { HEAT "0.png?epoch=9", 404, NULL, NULL },
        { HEAT "32.png", 404, NULL, "32" },
        { HEAT "16.png?split=val", 404, NULL, NULL },
        { HEAT "99999999999.png", 404, NULL, NULL },
    };

    check_bad(*state, bad, sizeof bad / sizeof *bad);
}

/* ---- sheets ---- */

enum { GAP = 6, SCALE = 2, CELL = 32 * SCALE, LINE = 10 };

static void is_sheet(ApiRig *rig, const char *query, uint32_t rows, uint32_t columns,
                     uint32_t heads)
{
    char target[256];
    Image image;
    Reply r;

    snprintf(target, sizeof target, SHEET "?scale=2&%s", query);
    r = api_rig_get(rig, target);
    image = picture_of(&r);
    if (image.width != GAP + (1 + columns) * (CELL + GAP) ||
        image.height != GAP + heads * LINE + rows * (CELL + GAP + 2 * LINE))
        fail_msg("%s is %ux%u", query, image.width, image.height);
    image_clear(&image);
    reply_end(&r);
}

static void a_sheet_goes_by_classes_layers_epochs_methods_or_models(void **state)
{
    ApiRig *rig = *state;

    is_sheet(rig, "images=0,1,2", 3, 10, 1);
    is_sheet(rig, "images=5&classes=9,0,9", 1, 3, 1);
    is_sheet(rig, "by=layers&layers=layer1,layer3.0.conv2", 4, 2, 1);
    is_sheet(rig, "images=0&by=epochs", 1, 2, 1);
    is_sheet(rig, "images=0&by=epochs&epochs=2,1,latest", 1, 3, 1);
    is_sheet(rig, "images=0&by=methods&methods=scorecam,gradcam,input_gradient&layer=layer2", 1, 3,
             1);
    is_sheet(rig, "images=0,1&by=models", 2, 1, 1);
}

static uint32_t columns_of(ApiRig *rig, const char *query)
{
    char target[256];
    uint32_t width;
    Image image;
    Reply r;

    snprintf(target, sizeof target, SHEET "?scale=2&images=0&%s", query);
    r = api_rig_get(rig, target);
    image = picture_of(&r);
    width = image.width;
    image_clear(&image);
    reply_end(&r);
    return (width - GAP) / (CELL + GAP) - 1;
}

static void what_nobody_names_is_what_makes_sense(void **state)
{
    uint32_t cheap = 0;

    for (size_t i = 0; cam_table[i] != NULL; i++)
        cheap +=
            (cam_table[i]->needs & (CAM_SCORES | CAM_DELTA)) == 0 && cam_table[i]->samples == 0;
    assert_true(columns_of(*state, "by=layers") >= 4); /* layer1 to layer4 */
    assert_int_equal(columns_of(*state, "by=methods"), cheap);
}

/* The pixels at column `column` (0: the image itself) of the only row. */
static void assert_cell(const Image *sheet, uint32_t column, const Image *cell)
{
    for (uint32_t y = 0; y < CELL; y++)
        assert_memory_equal(
            sheet->pixels +
                ((size_t)(GAP + 2 * LINE + y) * sheet->width + GAP + column * (CELL + GAP)) * 3,
            cell->pixels + (size_t)y * CELL * 3, CELL * 3);
}

static void is_cell(ApiRig *rig, const Image *sheet, uint32_t column, const char *query)
{
    char target[256];
    Image cell;
    Reply r;

    snprintf(target, sizeof target, HEAT "4.png?scale=2&%s", query);
    r = api_rig_get(rig, target);
    cell = picture_of(&r);
    assert_cell(sheet, column, &cell);
    image_clear(&cell);
    reply_end(&r);
}

static void a_cell_is_the_map_alone(void **state)
{
    static const struct {
        const char *sheet, *first, *last;
        uint32_t columns;
    } rows[] = {
        { "", "class=0", "class=9", 10 },
        { "classes=7,2", "class=7", "class=2", 2 },
        { "method=scorecam&classes=7,2", "method=scorecam&class=7", "method=scorecam&class=2", 2 },
        { "by=layers&layers=layer2,layer4&class=3&signed=1", "layer=layer2&class=3&signed=1",
          "layer=layer4&class=3&signed=1", 2 },
        { "by=epochs&flips=1", "epoch=1&flips=1", "epoch=2&flips=1", 2 },
        { "by=methods&methods=smoothgrad,cam&seed=3&colormap=jet",
          "method=smoothgrad&seed=3&colormap=jet", "method=cam&colormap=jet", 2 },
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char target[256];
        Image sheet;
        Reply r;

        snprintf(target, sizeof target, SHEET "?images=4&scale=2&%s", rows[i].sheet);
        r = api_rig_get(*state, target);
        sheet = picture_of(&r);
        is_cell(*state, &sheet, 0, "blend=0");
        is_cell(*state, &sheet, 1, rows[i].first);
        is_cell(*state, &sheet, rows[i].columns, rows[i].last);
        image_clear(&sheet);
        reply_end(&r);
    }
}

static void two_networks_lie_side_by_side(void **state)
{
    ApiRig *rig = *state;

    assert_int_equal(submit_job(rig, TRAIN_BODY), 2);
    assert_int_equal(submit_job(rig, LEASE_BODY), 3);
    add_network(rig, 2, 1);
    add_network(rig, 2, 2);
    add_two_networks(rig, 3, 1);
    is_sheet(rig, "images=0&by=models&other=2", 1, 2, 1);
    is_sheet(rig, "images=0&by=models&other=3", 1, 3, 1); /* its explainer and its audience */
    is_sheet(rig, "images=0,1&by=classes&classes=1,2&other=2", 2, 4, 2);
    is_sheet(rig, "images=0&by=epochs&other=2", 1, 4, 2);
    is_sheet(rig, "images=0&by=layers&layers=layer3&other=3&model=explainer", 1, 2, 2);
}

static void both_networks_of_a_lease_are_those_of_model(void **state)
{
    static const char *const models[] = { "explainer", "audience" };
    ApiRig *rig = *state;
    Image sheet;
    Reply r;

    assert_int_equal(submit_job(rig, LEASE_BODY), 2);
    add_two_networks(rig, 2, 1);
    r = api_rig_get(rig, "/api/v1/jobs/2/heatmaps/sheet.png?images=4&scale=2&by=models");
    sheet = picture_of(&r);
    reply_end(&r);
    for (uint32_t i = 0; i < 2; i++) {
        char target[128];
        Image cell;

        snprintf(target, sizeof target, "/api/v1/jobs/2/heatmaps/4.png?scale=2&model=%s",
                 models[i]);
        r = api_rig_get(rig, target);
        cell = picture_of(&r);
        assert_cell(&sheet, 1 + i, &cell);
        image_clear(&cell);
        reply_end(&r);
    }
    image_clear(&sheet);
}

#define NINETY                                                                               \
    "0,1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7,8,9,0,1,2," \
    "3,4,5,6,7,8,9,0,1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7,8,9,0,1,2,3,4,5," \
    "6,7,8,9"

static void a_sheet_that_cannot_be_is_named_and_never_kept(void **state)
{
    static const Bad bad[] = {
        { SHEET "?images=" NINETY, 422, "/images", "256" },
        { SHEET "?images=" NINETY "," NINETY "," NINETY, 422, "/images", "256" },
        { SHEET "?images=0," NINETY "&classes=0&scale=32", 422, "/scale", "pixels" },
        { SHEET "?scale=10000", 422, "/scale", NULL },
        { SHEET "?images=", 422, "/images", NULL },
        { SHEET "?images=0,,1", 422, "/images", NULL },
        { SHEET "?images=0,x", 422, "/images", "x" },
        { SHEET "?images=-1", 422, "/images", NULL },
        { SHEET "?images=1.5", 422, "/images", NULL },
        { SHEET "?images=0,32", 404, NULL, "32" },
        { SHEET "?images=4294967296", 422, "/images", NULL },
        { SHEET "?by=colour", 422, "/by", "epochs" },
        { SHEET "?classes=10", 422, "/classes", "10" },
        { SHEET "?classes=0,1,2,3,4,5,6,7,8,10", 422, "/classes", "10" },
        { SHEET "?classes=a", 422, "/classes", NULL },
        { SHEET "?layers=layer2", 422, "/layers", "by=layers" },
        { SHEET "?by=layers&layers=layer2,nowhere", 422, "/layers", "layer3" },
        { SHEET "?by=layers&classes=1", 422, "/classes", "by=classes" },
        { SHEET "?by=layers&class=10", 422, "/class", NULL },
        { SHEET "?by=methods&layer=nowhere", 422, "/layer", "layer3" },
        { SHEET "?by=methods&class=10", 422, "/class", NULL },
        { SHEET "?by=methods&methods=guess", 422, "/methods", "gradcam" },
        { SHEET "?by=methods&methods=cam&layer=layer2", 422, "/layer", "layer4" },
        { SHEET "?by=epochs&epochs=x", 422, "/epochs", NULL },
        { SHEET "?by=epochs&epochs=7", 404, NULL, "7" },
        { SHEET "?other=99", 422, "/other", "99" },
        { SHEET "?other=0&blend=2", 422, "/blend", NULL },
        { SHEET "?what=1", 422, "/what", NULL },
        { "/api/v1/jobs/9/heatmaps/sheet.png", 404, NULL, NULL },
    };

    check_bad(*state, bad, sizeof bad / sizeof *bad);
}

static void a_job_without_a_checkpoint_has_no_sheet_yet(void **state)
{
    static const char *const queries[] = { "", "?by=epochs", "?by=models" };
    ApiRig *rig = *state;

    assert_int_equal(submit_job(rig, TRAIN_BODY), 2);
    for (size_t i = 0; i < 3; i++) {
        char target[96];
        Reply r;

        snprintf(target, sizeof target, "/api/v1/jobs/2/heatmaps/sheet.png%s", queries[i]);
        r = api_rig_get(rig, target);
        assert_int_equal(r.code, 409);
        reply_end(&r);
    }
}

static void the_counters_are_there_for_monitors(void **state)
{
    Reply r;

    free(etag_of(*state, HEAT "0.png"));
    free(etag_of(*state, HEAT "0.png"));
    r = api_rig_get(*state, "/metrics");
    assert_non_null(strstr(r.body, "\nleased_pictures_cached_total 1\n"));
    assert_non_null(strstr(r.body, "\nleased_pictures_computed_total 1\n"));
    assert_non_null(strstr(r.body, "\nleased_pictures 1\n"));
    assert_non_null(strstr(r.body, "\nleased_pictures_bytes "));
    reply_end(&r);
    r = api_rig_get(*state, "/api/v1/system");
    assert_int_equal(json_integer_value(reply_at(&r, "/limits/picture_cache_bytes")),
                     LIMIT_PICTURE_BYTES);
    assert_int_equal(json_integer_value(reply_at(&r, "/limits/sheet_cells")), LIMIT_CELLS);
    reply_end(&r);
}

#define with_job(test) cmocka_unit_test_setup_teardown(test, setup, api_rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_job(the_same_picture_is_computed_once),
        with_job(who_has_the_picture_is_told_so),
        with_job(a_new_checkpoint_is_a_new_picture),
        with_job(what_matters_is_in_the_key),
        with_job(what_does_not_matter_is_not),
        with_job(layers_are_fused_at_the_largest_size),
        with_job(every_method_answers_at_its_own_size),
        with_job(a_map_that_cannot_be_is_named_and_never_kept),
        with_job(a_sheet_goes_by_classes_layers_epochs_methods_or_models),
        with_job(what_nobody_names_is_what_makes_sense),
        with_job(a_cell_is_the_map_alone),
        with_job(two_networks_lie_side_by_side),
        with_job(both_networks_of_a_lease_are_those_of_model),
        with_job(a_sheet_that_cannot_be_is_named_and_never_kept),
        with_job(a_job_without_a_checkpoint_has_no_sheet_yet),
        with_job(the_counters_are_there_for_monitors),
    };

    return cmocka_run_group_tests(tests, api_rig_open, api_rig_close);
}
