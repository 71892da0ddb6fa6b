/* data: the CIFAR reader, splits, batches, augmentations. */
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

    assert_int_equal(dataset_open("mine", path, &dataset, &err), STATUS_INVALID);
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
    assert_int_equal(dataset_open("mine", folder, &d, NULL), STATUS_OK);
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
    assert_int_equal(dataset_open("mine", folder, &d, NULL), STATUS_OK);
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
    assert_int_equal(dataset_open("mine", folder, &d, NULL), STATUS_OK);
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
    assert_refused(path, "Not a directory");
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

    assert_int_equal(pool_new(threads, &pool, NULL), STATUS_OK);
    loader_batch(loader, pool, spec, ret_images, ret_labels);
    pool_free(pool);
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
        loader_normalise(&d, loader_pixels(&loader, SPLIT_TEST, items[i]), one);
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
        run_batch(&loader, t + 1, &(BatchSpec){ SPLIT_TRAIN, items, TRAIN, augment, 2, 5, 3 },
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

/* ---- Augmentations ---- */

static void crop_shifts_evenly_and_moves_zeros_in(void **state)
{
    const Augmentation *crop = augmentation_table[table_find(augmentation_table, "crop")];
    const ImageSize size = { 7, 7, 1 };
    const double padding = 2;
    uint8_t in[49], out[49];
    int count[5][5] = { 0 };

    (void)state;
    for (int p = 0; p < 49; p++)
        in[p] = (uint8_t)(p + 1);
    for (uint32_t draw = 0; draw < 5000; draw++) {
        Rng rng = rng_at(0, RNG_TEST, 0, draw);
        int dy, dx;

        crop->apply(&padding, &rng, size, in, out);
        /* The middle is never cropped away from the middle, so it tells the shift. */
        dy = (out[3 * 7 + 3] - 1) / 7 - 3;
        dx = (out[3 * 7 + 3] - 1) % 7 - 3;
        count[dy + 2][dx + 2]++;
        for (int y = 0; y < 7; y++)
            for (int x = 0; x < 7; x++) {
                bool inside = y + dy >= 0 && y + dy < 7 && x + dx >= 0 && x + dx < 7;

                assert_int_equal(out[y * 7 + x], inside ? in[(y + dy) * 7 + x + dx] : 0);
            }
    }
    for (int i = 0; i < 25; i++)
        assert_in_range(count[i / 5][i % 5], 140, 260); /* 200 expected, sd 14 */
}

static void crop_survives_a_padding_wider_than_the_image(void **state)
{
    const Augmentation *crop = augmentation_table[table_find(augmentation_table, "crop")];
    const ImageSize size = { 3, 5, 2 };
    const double none = 0, most = 16;
    uint8_t in[30], out[30];
    int empty = 0;

    (void)state;
    memset(in, 9, sizeof in);
    for (uint32_t draw = 0; draw < 500; draw++) {
        Rng rng = rng_at(0, RNG_TEST, 1, draw);

        crop->apply(&most, &rng, size, in, out);
        empty += memchr(out, 9, sizeof out) == NULL;
        crop->apply(&none, &rng, size, in, out);
        assert_memory_equal(in, out, sizeof in);
    }
    assert_true(empty > 250 && empty < 500);
}

static void flip_mirrors_every_second_image(void **state)
{
    const Augmentation *flip = augmentation_table[table_find(augmentation_table, "flip")];
    const ImageSize size = { 1, 3, 2 };
    const uint8_t in[6] = { 1, 2, 3, 4, 5, 6 }, mirrored[6] = { 5, 6, 3, 4, 1, 2 };
    uint8_t out[6];
    int flipped = 0;

    (void)state;
    for (uint32_t draw = 0; draw < 2000; draw++) {
        Rng rng = rng_at(0, RNG_TEST, 2, draw);
        bool mirror;

        flip->apply(NULL, &rng, size, in, out);
        mirror = out[0] == 5;
        flipped += mirror;
        assert_memory_equal(out, mirror ? mirrored : in, sizeof in);
    }
    assert_in_range(flipped, 900, 1100);
}

static void the_table_of_augmentations_describes_itself(void **state)
{
    const Described *crop = &augmentation_table[table_find(augmentation_table, "crop")]->described;

    (void)state;
    assert_int_equal(table_find(augmentation_table, "nope"), -1);
    assert_true(table_find(augmentation_table, "flip") >= 0);
    assert_int_equal(param_find(crop, "padding"), 0);
    assert_true(crop->params[0].fallback == 4 && crop->params[0].min == 0 &&
                crop->params[0].max == 16);
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
        cmocka_unit_test(crop_shifts_evenly_and_moves_zeros_in),
        cmocka_unit_test(crop_survives_a_padding_wider_than_the_image),
        cmocka_unit_test(flip_mirrors_every_second_image),
        cmocka_unit_test(the_table_of_augmentations_describes_itself),
    };

    return cmocka_run_group_tests_name("data", tests, NULL, NULL);
}
