/* data: the CIFAR reader, splits, batches. */
#include "tests/unit/test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/shape.h"
#include "core/data/augment.h"
#include "core/data/cifar.h"
#include "core/data/loader.h"

/* ---- A folder of our own ---- */

static char folder[64];

static void path_of(const char *name, char ret[128])
{
    snprintf(ret, 128, "%s/%s", folder, name);
}

static int folder_make(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/leased-test-data-XXXXXX");
    return mkdtemp(folder) == NULL;
}

static int folder_remove(void **state)
{
    static const char *const names[] = { "data_batch_1.bin",  "data_batch_2.bin",
                                         "data_batch_10.bin", "test_batch.bin",
                                         "train.bin",         "test.bin",
                                         "batches.meta.txt",  "fine_label_names.txt" };
    char path[128];

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        path_of(names[i], path);
        (void)remove(path);
    }
    return rmdir(folder);
}

static void write_bytes(const char *name, const void *bytes, size_t size)
{
    char path[128];
    FILE *file;

    path_of(name, path);
    file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

/* `count` records of `label_bytes` label bytes and planes of 10, 20 and 30 plus the record's label,
 * less `cut` bytes. */
static void write_records(const char *name, size_t label_bytes, const uint8_t *labels, size_t count,
                          size_t cut)
{
    size_t record = label_bytes + CIFAR_IMAGE_BYTES;
    uint8_t *bytes = calloc(count, record);

    assert_non_null(bytes);
    for (size_t i = 0; i < count; i++) {
        uint8_t *at = bytes + i * record + label_bytes;

        at[-1] = labels[i];
        for (size_t p = 0; p < CIFAR_IMAGE_BYTES; p++)
            at[p] = (uint8_t)(10 * (p / CIFAR_PIXELS + 1) + labels[i]);
        at[1] = 200; /* red of row 0, column 1: rows and columns must not change places */
    }
    write_bytes(name, bytes, count * record - cut);
    free(bytes);
}

static void write_cifar10(void)
{
    write_records("data_batch_1.bin", 1, (const uint8_t[]){ 3, 1 }, 2, 0);
    write_records("test_batch.bin", 1, (const uint8_t[]){ 5 }, 1, 0);
}

/* Opening fails with STATUS_INVALID, and the message has `part` in it. */
static void assert_refused(const char *path, const char *part)
{
    Dataset *dataset = NULL;
    Error err = { 0 };

    assert_int_equal(dataset_open("mine", path, NULL, &dataset, &err), STATUS_INVALID);
    assert_null(dataset);
    assert_non_null(strstr(error_message(&err), "\"mine\""));
    if (strstr(error_message(&err), part) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", error_message(&err), part);
}

/* ---- CIFAR ---- */

static void cifar10_is_read_in_numeric_order_and_turned_to_channels_last(void **state)
{
    Dataset *d = NULL;

    (void)state;
    write_cifar10();
    write_records("data_batch_2.bin", 1, (const uint8_t[]){ 7 }, 1, 0);
    write_records("data_batch_10.bin", 1, (const uint8_t[]){ 9 }, 1, 0);
    assert_int_equal(dataset_open("mine", folder, NULL, &d, NULL), STATUS_OK);
    assert_string_equal(d->name, "mine");
    assert_string_equal(d->layout, "cifar10");
    assert_int_equal(d->classes, 10);
    assert_int_equal(d->train.images, 4);
    assert_int_equal(d->test.images, 1);
    assert_memory_equal(d->train.labels, ((const uint16_t[]){ 3, 1, 7, 9 }), 8);
    assert_memory_equal(d->test.labels, ((const uint16_t[]){ 5 }), 2);
    assert_memory_equal(d->train.pixels, ((const uint8_t[]){ 13, 23, 33, 200, 23, 33 }), 6);
    assert_memory_equal(d->train.pixels + 3 * CIFAR_IMAGE_BYTES,
                        ((const uint8_t[]){ 19, 29, 39, 200, 29, 39 }), 6);
    assert_memory_equal(d->test.pixels, ((const uint8_t[]){ 15, 25, 35 }), 3);
    assert_null(d->train.masks);
    assert_string_equal(d->class_names[9], "truck");
    assert_true(d->mean[0] == .4914f && d->std[2] == .2616f);
    dataset_free(d);
}

static void cifar100_takes_the_fine_label(void **state)
{
    Dataset *d = NULL;

    (void)state;
    write_records("train.bin", 2, (const uint8_t[]){ 99, 0 }, 2, 0);
    write_records("test.bin", 2, (const uint8_t[]){ 42 }, 1, 0);
    assert_int_equal(dataset_open("mine", folder, NULL, &d, NULL), STATUS_OK);
    assert_string_equal(d->layout, "cifar100");
    assert_int_equal(d->classes, 100);
    assert_int_equal(d->train.labels[0], 99);
    assert_int_equal(d->test.labels[0], 42);
    assert_string_equal(d->class_names[99], "worm");
    assert_string_equal(d->class_names[53], "orange");
    assert_true(d->mean[0] == .5071f && d->std[2] == .2762f);
    dataset_free(d);
}

static void class_names_come_from_the_folder_if_it_has_them(void **state)
{
    const char names[] = "a\r\nb\nc\nd\ne\nf\ng\nh\ni\nlast one\n\n";
    Dataset *d = NULL;

    (void)state;
    write_cifar10();
    write_bytes("batches.meta.txt", names, sizeof names - 1);
    assert_int_equal(dataset_open("mine", folder, NULL, &d, NULL), STATUS_OK);
    assert_string_equal(d->class_names[0], "a");
    assert_string_equal(d->class_names[9], "last one");
    dataset_free(d);
    write_bytes("batches.meta.txt", names, 9);
    assert_refused(folder, "batches.meta.txt: 4 class names, expected 10");
    write_bytes("batches.meta.txt", "bad\x01name\n", 9);
    assert_refused(folder, "line 1");
}

static void a_truncated_file_is_refused_with_name_and_offset(void **state)
{
    (void)state;
    write_cifar10();
    write_records("data_batch_2.bin", 1, (const uint8_t[]){ 1, 2 }, 2, 100);
    assert_refused(folder, "data_batch_2.bin: record at offset 3073 is cut short");
    write_bytes("data_batch_2.bin", "", 0);
    assert_refused(folder, "data_batch_2.bin is empty");
}

static void a_label_out_of_range_is_refused_with_name_and_offset(void **state)
{
    (void)state;
    write_cifar10();
    write_records("test_batch.bin", 1, (const uint8_t[]){ 9, 10 }, 2, 0);
    assert_refused(folder, "test_batch.bin: label 10 at offset 3073 is out of range");
}

static void a_cifar100_file_under_a_cifar10_name_is_refused(void **state)
{
    (void)state;
    write_cifar10();
    write_records("data_batch_1.bin", 2, (const uint8_t[]){ 1, 2 }, 2, 0);
    assert_refused(folder, "is it the other CIFAR?");
}

static void both_layouts_at_once_or_half_of_one_are_refused(void **state)
{
    (void)state;
    assert_refused(folder, "neither");
    write_records("data_batch_1.bin", 1, (const uint8_t[]){ 1 }, 1, 0);
    assert_refused(folder, "test_batch.bin is missing");
    write_records("train.bin", 2, (const uint8_t[]){ 1 }, 1, 0);
    assert_refused(folder, "both");
}

static void only_a_directory_of_regular_files_will_do(void **state)
{
    char path[128];

    (void)state;
    assert_refused("/nowhere/at/all", "cannot open its directory");
    write_cifar10();
    path_of("data_batch_1.bin", path);
    assert_refused(path, "no archive");
    path_of("data_batch_2.bin", path);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_refused(folder, "data_batch_2.bin is not a regular file"); /* and does not hang */
    path_of("data_batch_1.bin", path);
    assert_int_equal(remove(path), 0);
    path_of("data_batch_2.bin", path);
    assert_int_equal(remove(path), 0);
    assert_int_equal(symlink("nothing", path), 0);
    assert_refused(folder, "cannot open data_batch_2.bin");
}

static void sizes_are_bounded_before_anything_is_allocated(void **state)
{
    char path[128];

    (void)state;
    write_cifar10();
    path_of("data_batch_1.bin", path);
    assert_int_equal(truncate(path, 3073L * 1000001), 0); /* sparse */
    assert_refused(folder, "more than 1000000 images");
}

/* ---- A data set in memory: image i is the byte i, 5x4 pixels, two channels, with a mark at the
 * top left ---- */

enum { H = 5, W = 4, C = 2, TRAIN = 40, TEST = 21, IMAGE = H * W * C };

static uint8_t train_pixels[TRAIN * IMAGE], test_pixels[TEST * IMAGE], test_masks[TEST * H * W];
static uint16_t train_labels[TRAIN], test_labels[TEST];

static Dataset small_dataset(void)
{
    for (int i = 0; i < TRAIN; i++) {
        memset(train_pixels + i * IMAGE, i + 1, IMAGE);
        train_pixels[i * IMAGE] = 250;
        train_labels[i] = (uint16_t)(i % 7);
    }
    for (int i = 0; i < TEST; i++) {
        for (int p = 0; p < IMAGE; p++)
            test_pixels[i * IMAGE + p] = (uint8_t)(i * 7 + p * 3);
        test_labels[i] = (uint16_t)(i % 5);
        test_masks[i * H * W] = (uint8_t)(i & 1);
    }
    return (Dataset){ .name = "small",
                      .layout = "shapes",
                      .height = H,
                      .width = W,
                      .channels = C,
                      .classes = 7,
                      .mean = { 0.5f, 0.25f },
                      .std = { 0.25f, 0.5f },
                      .train = { TRAIN, train_pixels, train_labels, NULL },
                      .test = { TEST, test_pixels, test_labels, test_masks } };
}

static Loader small_loader(const Dataset *dataset, DataSpec spec)
{
    Loader loader;

    assert_int_equal(loader_init(&loader, dataset, &spec, NULL), STATUS_OK);
    return loader;
}

static void validation_images_are_the_last_of_a_seeded_permutation(void **state)
{
    Dataset d = small_dataset();
    Loader loader =
        small_loader(&d, (DataSpec){ .train_images = 30, .val_images = 8, .split_seed = 11 });
    Rng rng = rng_at(11, RNG_SPLIT, 0, 0);
    uint32_t order[30];
    int seen[TRAIN] = { 0 };

    (void)state;
    rng_permutation(&rng, 30, order);
    assert_int_equal(loader.images[SPLIT_TRAIN], 22);
    assert_int_equal(loader.images[SPLIT_VAL], 8);
    assert_int_equal(loader.images[SPLIT_TEST], TEST);
    for (uint32_t i = 0; i < 8; i++)
        assert_int_equal(loader_pixels(&loader, SPLIT_VAL, i)[1], order[22 + i] + 1);
    for (int split = SPLIT_TRAIN; split <= SPLIT_VAL; split++)
        for (uint32_t i = 0; i < loader.images[split]; i++)
            seen[loader_pixels(&loader, (Split)split, i)[1] - 1]++;
    for (int i = 0; i < TRAIN; i++)
        assert_int_equal(seen[i], i < 30); /* disjoint, and nothing past the first 30 */
    for (uint32_t i = 1; i < 22; i++)
        assert_true(loader.index[SPLIT_TRAIN][i - 1] <
                    loader.index[SPLIT_TRAIN][i]); /* file order */
    loader_clear(&loader);
}

static void without_validation_images_the_split_is_file_order(void **state)
{
    Dataset d = small_dataset();
    Loader loader = small_loader(&d, (DataSpec){ .test_images = 3 });

    (void)state;
    assert_int_equal(loader.images[SPLIT_TRAIN], TRAIN);
    assert_int_equal(loader.images[SPLIT_VAL], 0);
    assert_int_equal(loader.images[SPLIT_TEST], 3);
    for (uint32_t i = 0; i < TRAIN; i++)
        assert_int_equal(loader.index[SPLIT_TRAIN][i], i);
    assert_int_equal(loader_label(&loader, SPLIT_TRAIN, 9), 2);
    assert_null(loader_mask(&loader, SPLIT_TRAIN, 0));
    assert_int_equal(loader_mask(&loader, SPLIT_TEST, 1)[0], 1);
    loader_clear(&loader);
}

static void every_number_that_does_not_fit_is_named(void **state)
{
    Dataset d = small_dataset();
    const DataSpec spec = { .train_images = 41, .test_images = 22, .val_images = 41 };
    Loader loader;
    Error err = { 0 };

    (void)state;
    assert_int_equal(loader_init(&loader, &d, &spec, &err), STATUS_INVALID);
    assert_int_equal(err.details, 3);
    assert_string_equal(err.detail[0].pointer, "/train_images");
    assert_string_equal(err.detail[1].pointer, "/test_images");
    assert_string_equal(err.detail[2].pointer, "/val_images");
    assert_int_equal(loader_init(&loader, &d, &spec, NULL), STATUS_INVALID);
    assert_int_equal(loader_init(&loader, &d, &(DataSpec){ .val_images = TRAIN }, NULL),
                     STATUS_INVALID);
}

/* ---- Batches ---- */

static void run_batch(const Loader *loader, unsigned threads, const BatchSpec *spec,
                      float *ret_images, uint16_t *ret_labels)
{
    Pool *pool = NULL;
    BatchSpec batch = *spec;

    batch.scratch = aligned_alloc(64, loader_scratch_bytes(loader, spec->count));
    assert_non_null(batch.scratch);
    assert_int_equal(pool_new(threads, &pool, NULL), STATUS_OK);
    loader_batch(loader, pool, &batch, ret_images, ret_labels, NULL);
    pool_free(pool);
    free(batch.scratch);
}

static void a_batch_of_21_lies_in_a_block_of_16_and_one_of_5(void **state)
{
    Dataset d = small_dataset();
    Loader loader = small_loader(&d, (DataSpec){ 0 });
    uint32_t items[TEST];
    static float images[TEST * IMAGE], one[IMAGE];
    uint16_t labels[TEST];

    (void)state;
    for (uint32_t i = 0; i < TEST; i++)
        items[i] = TEST - 1 - i;
    run_batch(&loader, 2, &(BatchSpec){ .split = SPLIT_TEST, .items = items, .count = TEST },
              images, labels);
    for (uint32_t i = 0; i < TEST; i++) {
        const float *block = i < 16 ? images : images + 16 * IMAGE;
        uint32_t lanes = i < 16 ? 16 : 5, lane = i % 16;

        assert_int_equal(labels[i], test_labels[items[i]]);
        loader_normalise(&loader, loader_pixels(&loader, SPLIT_TEST, items[i]), one);
        for (uint32_t p = 0; p < H * W; p++)
            for (uint32_t c = 0; c < C; c++) {
                float byte = test_pixels[items[i] * IMAGE + p * C + c];

                assert_true(block[(p * lanes + lane) * C + c] ==
                            (byte / 255.0f - d.mean[c]) / d.std[c]);
                assert_true(block[(p * lanes + lane) * C + c] == one[p * C + c]);
            }
    }
    loader_clear(&loader);
}

static void crop_and_flip(Choice ret[2])
{
    ret[0] = (Choice){ .row = (uint32_t)table_find(augmentation_table, "crop"), .value = { 2 } };
    ret[1] = (Choice){ .row = (uint32_t)table_find(augmentation_table, "flip") };
}

static void batches_do_not_depend_on_the_number_of_threads(void **state)
{
    Dataset d = small_dataset();
    Loader loader = small_loader(&d, (DataSpec){ 0 });
    uint32_t items[TRAIN];
    static float images[3][TRAIN * IMAGE];
    uint16_t labels[3][TRAIN];
    Choice augment[2];

    (void)state;
    crop_and_flip(augment);
    for (uint32_t i = 0; i < TRAIN; i++)
        items[i] = (i * 17) % TRAIN;
    for (unsigned t = 0; t < 3; t++)
        run_batch(&loader, t + 1,
                  &(BatchSpec){ SPLIT_TRAIN, items, TRAIN, augment, 2, .seed = 5, .epoch = 3 },
                  images[t], labels[t]);
    for (int t = 1; t < 3; t++) {
        assert_memory_equal(images[t], images[0], sizeof images[0]);
        assert_memory_equal(labels[t], labels[0], sizeof labels[0]);
    }
    loader_clear(&loader);
}

static void augmentation_is_keyed_by_seed_epoch_and_image_alone(void **state)
{
    Dataset d = small_dataset();
    Loader loader = small_loader(&d, (DataSpec){ 0 });
    const uint32_t all[16] = { 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0 };
    static float images[16 * IMAGE], again[16 * IMAGE], one[IMAGE];
    uint16_t labels[16];
    Choice augment[2];
    BatchSpec spec = { SPLIT_TRAIN, all, 16, augment, 2, .seed = 5, .epoch = 3 };
    int changed = 0;

    (void)state;
    crop_and_flip(augment);
    run_batch(&loader, 1, &spec, images, labels);
    for (uint32_t i = 0; i < 16; i++) { /* alone, the image comes out as among fifteen others */
        BatchSpec alone = spec;

        alone.items = &all[i];
        alone.count = 1;
        run_batch(&loader, 1, &alone, one, labels);
        for (uint32_t p = 0; p < H * W; p++)
            assert_memory_equal(one + p * C, images + (p * 16 + i) * C, C * sizeof(float));
    }
    for (int k = 0; k < 2; k++) {
        BatchSpec other = spec;

        other.seed += k == 0;
        other.epoch += k == 1;
        run_batch(&loader, 1, &other, again, labels);
        changed += memcmp(images, again, sizeof images) != 0;
    }
    assert_int_equal(changed, 2);
    loader_clear(&loader);
}

/* Views of one image of the byte y * W + x. */
static void a_view_is_the_image_moved_and_then_mirrored(void **state)
{
    static const View views[] = {
        { .flip = true },
        { .shift_x = 1 },
        { .shift_y = -1 },
        { .flip = true, .shift_x = -1, .shift_y = 1 },
        { .shift_x = 2, .shift_y = 2 },
    };
    /* Row and column of `in` that row 0 and column 0 of the view show. */
    static const uint32_t corner[][2] = { { 0, 3 }, { 0, 1 }, { 1, 0 }, { 1, 2 }, { 2, 2 } };
    static const uint32_t next_column[] = { 2, 2, 1, 1, 3 };
    Dataset d = small_dataset();
    Loader loader = small_loader(&d, (DataSpec){ 0 });
    const uint32_t item = 0;
    float image[IMAGE], plain[IMAGE];
    uint16_t label;

    (void)state;
    loader_normalise(&loader, loader_pixels(&loader, SPLIT_TEST, item), plain);
    for (size_t v = 0; v < sizeof views / sizeof *views; v++) {
        run_batch(&loader, 1,
                  &(BatchSpec){ .split = SPLIT_TEST, .items = &item, .count = 1, .view = views[v] },
                  image, &label);
        assert_memory_equal(image, plain + (corner[v][0] * W + corner[v][1]) * C,
                            C * sizeof(float));
        assert_memory_equal(image + C, plain + (corner[v][0] * W + next_column[v]) * C,
                            C * sizeof(float));
    }
    loader_clear(&loader);
}

static void a_checkpoint_can_bring_its_own_normalisation(void **state)
{
    const float mean[C] = { 0.1f, 0.9f }, std[C] = { 2, 0.125f };
    Dataset d = small_dataset();
    Loader loader = small_loader(&d, (DataSpec){ 0 });
    const uint32_t item = 3;
    float image[IMAGE];
    uint16_t label;

    (void)state;
    loader_set_normal(&loader, mean, std);
    run_batch(&loader, 1, &(BatchSpec){ .split = SPLIT_TEST, .items = &item, .count = 1 }, image,
              &label);
    for (int p = 0; p < IMAGE; p++)
        assert_true(image[p] ==
                    ((float)test_pixels[3 * IMAGE + p] / 255.0f - mean[p % C]) / std[p % C]);
    loader_clear(&loader);
}

static void only_a_folder_is_measured_and_only_what_is_trained_on(void **state)
{
    Dataset d = small_dataset();
    Loader loader =
        small_loader(&d, (DataSpec){ .train_images = 10, .val_images = 4, .split_seed = 3 });
    double sum = 0;

    (void)state;
    loader_measure_normal(&loader);
    assert_true(loader.mean[1] == d.mean[1] && loader.std[1] == d.std[1]);
    d.layout = "folder";
    loader_measure_normal(&loader);
    for (uint32_t i = 0; i < 6; i++) /* the second channel is one byte all over an image */
        sum += loader_pixels(&loader, SPLIT_TRAIN, i)[1];
    assert_true(fabs((double)loader.mean[1] - sum / 6 / 255) < 1e-6);
    assert_true(loader.normal[1][255] == (1 - loader.mean[1]) / loader.std[1]);
    loader_clear(&loader);
}

static void a_data_set_without_test_images_has_an_empty_split(void **state)
{
    Dataset d = small_dataset();
    Loader loader;

    (void)state;
    d.test = (ImageSet){ 0 };
    loader = small_loader(&d, (DataSpec){ 0 });
    assert_int_equal(loader.images[SPLIT_TEST], 0);
    assert_int_equal(loader.images[SPLIT_TRAIN], TRAIN);
    loader_clear(&loader);
}

/* One image of `side` x `side` x 4 in every pixel of which lies its row. */
static void images_are_as_large_as_promised_and_no_larger(void **state)
{
    const size_t bytes = 512 * 512 * 4;
    uint8_t *pixels = malloc(bytes);
    float *image = malloc(bytes * sizeof *image);
    const uint16_t label = 1;
    Dataset d = { .name = "large",
                  .layout = "shapes",
                  .height = 512,
                  .width = 512,
                  .channels = 4,
                  .classes = 2,
                  .std = { 1, 1, 1, 1 },
                  .train = { 1, pixels, &label, NULL } };
    Choice augment[2] = { { .row = (uint32_t)table_find(augmentation_table, "flip") },
                          { .row = (uint32_t)table_find(augmentation_table, "cutout"),
                            .value = { 1 } } };
    const uint32_t item = 0;
    Loader loader;
    Error err = { 0 };
    uint16_t got = 0;

    (void)state;
    assert_non_null(pixels);
    assert_non_null(image);
    for (size_t i = 0; i < bytes; i++)
        pixels[i] = (uint8_t)(i / (512 * 4));
    loader = small_loader(&d, (DataSpec){ 0 });
    run_batch(&loader, 1,
              &(BatchSpec){ .items = &item, .count = 1, .augment = augment, .augments = 2 }, image,
              &got);
    assert_int_equal(got, 1);
    assert_true(image[0] == 0 && image[bytes - 1] == 1);
    loader_clear(&loader);
    d.height = 513;
    assert_int_equal(loader_init(&loader, &d, &(DataSpec){ 0 }, &err), STATUS_INVALID);
    assert_string_equal(err.detail[0].pointer, "/dataset");
    assert_non_null(strstr(error_message(&err), "512x513"));
    free(pixels);
    free(image);
}

/* Every row at once on an image of one pixel, in a batch of one: nothing to move, all to mix. */
static void an_image_of_one_pixel_survives_every_row(void **state)
{
    const uint8_t pixel[1] = { 51 };
    const uint16_t label = 0;
    Dataset d = { .name = "dot",
                  .layout = "shapes",
                  .height = 1,
                  .width = 1,
                  .channels = 1,
                  .classes = 1,
                  .std = { 1 },
                  .train = { 1, pixel, &label, NULL } };
    Loader loader = small_loader(&d, (DataSpec){ 0 });
    Choice augment[AUGMENTS_MAX];
    const uint32_t item = 0;
    uint32_t rows = 0;

    (void)state;
    for (; augmentation_table[rows] != NULL && rows < AUGMENTS_MAX; rows++)
        choice_init(augmentation_table, rows, &augment[rows]);
    for (uint32_t step = 0; step < 50; step++) {
        BatchSpec spec = { .items = &item,
                           .count = 1,
                           .augment = augment,
                           .augments = rows,
                           .epoch = step,
                           .step = step };
        float out = -1;
        uint16_t got;

        run_batch(&loader, 1, &spec, &out, &got);
        assert_true(out == 0); /* cut out */
    }
    loader_clear(&loader);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, folder_make, folder_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(cifar10_is_read_in_numeric_order_and_turned_to_channels_last),
        IN_FOLDER(cifar100_takes_the_fine_label),
        IN_FOLDER(class_names_come_from_the_folder_if_it_has_them),
        IN_FOLDER(a_truncated_file_is_refused_with_name_and_offset),
        IN_FOLDER(a_label_out_of_range_is_refused_with_name_and_offset),
        IN_FOLDER(a_cifar100_file_under_a_cifar10_name_is_refused),
        IN_FOLDER(both_layouts_at_once_or_half_of_one_are_refused),
        IN_FOLDER(only_a_directory_of_regular_files_will_do),
        IN_FOLDER(sizes_are_bounded_before_anything_is_allocated),
        cmocka_unit_test(validation_images_are_the_last_of_a_seeded_permutation),
        cmocka_unit_test(without_validation_images_the_split_is_file_order),
        cmocka_unit_test(every_number_that_does_not_fit_is_named),
        cmocka_unit_test(a_batch_of_21_lies_in_a_block_of_16_and_one_of_5),
        cmocka_unit_test(batches_do_not_depend_on_the_number_of_threads),
        cmocka_unit_test(augmentation_is_keyed_by_seed_epoch_and_image_alone),
        cmocka_unit_test(a_view_is_the_image_moved_and_then_mirrored),
        cmocka_unit_test(a_checkpoint_can_bring_its_own_normalisation),
        cmocka_unit_test(only_a_folder_is_measured_and_only_what_is_trained_on),
        cmocka_unit_test(a_data_set_without_test_images_has_an_empty_split),
        cmocka_unit_test(images_are_as_large_as_promised_and_no_larger),
        cmocka_unit_test(an_image_of_one_pixel_survives_every_row),
    };

    return cmocka_run_group_tests_name("data", tests, NULL, NULL);
}
