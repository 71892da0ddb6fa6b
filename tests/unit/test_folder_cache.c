/* folder_cache: image size and statistics of folder data sets, and their cache. */
#include "tests/unit/test.h"

#include <dirent.h>
#include <fcntl.h>

#include "tests/unit/folder_rig.h"

/* ---- Options ---- */

static void images_have_the_size_that_is_asked_for(void **state)
{
    Rig *rig = *state;
    DatasetOptions options = { .image_size = 7 };
    Dataset *d;
    Error err = { 0 };

    PUT(rig, TWO);
    d = opened(rig->tree, &options);
    assert_int_equal(d->height, 7);
    assert_int_equal(d->width, 7);
    assert_images(d, &d->train, 2, (const uint8_t[]){ 1, 2 },
                  (const char *const[]){ "cat", "dog" });
    dataset_free(d);
    options.image_size = DATASET_IMAGE_SIZE_MAX + 1;
    assert_int_equal(dataset_open("mine", rig->tree, &options, &d, &err), STATUS_INVALID);
    assert_string_equal(err.detail[0].pointer, "/image_size");
    error_clear(&err);
    PUT(rig, text("test_batch.bin", "")); /* a CIFAR layout, by its name */
    options.image_size = 16;
    assert_int_equal(dataset_open("mine", rig->tree, &options, &d, &err), STATUS_INVALID);
    assert_string_equal(err.detail[0].pointer, "/image_size");
}

static void statistics_are_those_of_the_images_named(void **state)
{
    Rig *rig = *state;
    const uint8_t *pixels;
    uint32_t last = 2;
    float mean[3], std[3];
    Dataset *d;

    PUT(rig, image("cat/1.png", 10), image("cat/2.png", 20), image("dog/1.png", 60));
    d = opened(rig->tree, NULL);
    assert_true(d->mean[0] == 30.0f / 255 && d->mean[1] == 20.0f / 255);
    /* squares of -20, -10, 30 */
    assert_float_equal(d->std[0], 21.602469 / 255, 1e-7);
    assert_true(d->std[1] == 1.0f && d->std[2] == 1.0f); /* without variation */
    dataset_statistics(d, &last, 1, mean, std);
    pixels = d->train.pixels + (size_t)last * 3 * 32 * 32;
    assert_true(mean[0] == (float)(pixels[0] / 255.0) && std[0] == 1.0f);
    dataset_statistics(d, NULL, 2, mean, std);
    assert_true(mean[0] == (float)((d->train.pixels[0] + d->train.pixels[3072]) / 2.0 / 255.0));
    dataset_free(d);
}

/* ---- The cache ---- */

/* The red of the one cat. */
static uint8_t cat_of(const char *path, const DatasetOptions *options)
{
    Dataset *d = opened(path, options);
    uint8_t red = d->train.pixels[d->train.labels[0] == 0 ? 0 : 3 * 32 * 32];

    assert_int_equal(d->train.images, 2);
    assert_string_equal(d->class_names[0], "cat");
    assert_string_equal(d->class_names[1], "dog");
    assert_int_equal(d->foreign, 1);
    assert_string_equal(d->skipped_names, "cat/0.png (is empty)");
    assert_float_equal(d->mean[1], 20.0 / 255, 1e-7);
    dataset_free(d);
    return red;
}

/* Another cat of the same size and time: only who decodes again sees it. */
static void swap_cat(const Rig *rig, uint8_t red)
{
    char path[256];
    struct stat st;
    struct timespec times[2];

    snprintf(path, sizeof path, "%s/cat/1.png", rig->tree);
    assert_int_equal(stat(path, &st), 0);
    PUT(rig, image("cat/1.png", red));
    times[0] = st.st_atim;
    times[1] = st.st_mtim;
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void put_cached(const Rig *rig)
{
    PUT(rig, TWO, text("cat/0.png", ""), text("note", "note"));
}

/* The one file in the cache, opened for writing; its size. */
static FILE *cache_file(const Rig *rig, long *ret_size)
{
    char path[512], name[320] = "";
    DIR *dir = opendir(rig->cache);
    FILE *file;

    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        if (entry->d_name[0] != '.') {
            assert_string_equal(name, "");
            snprintf(name, sizeof name, "%s", entry->d_name);
        }
    closedir(dir);
    snprintf(path, sizeof path, "%s/%s", rig->cache, name);
    file = fopen(path, "r+b");
    assert_non_null(file);
    fseek(file, 0, SEEK_END);
    *ret_size = ftell(file);
    return file;
}

static void the_second_opening_reads_the_cache(void **state)
{
    Rig *rig = *state;
    const DatasetOptions options = { .cache = rig->cache };

    put_cached(rig);
    assert_int_equal(cat_of(rig->tree, &options), 1);
    swap_cat(rig, 9);
    assert_int_equal(cat_of(rig->tree, &options), 1);
    assert_int_equal(cat_of(rig->tree, NULL), 9);
}

static void an_archive_is_cached_like_a_directory(void **state)
{
    Rig *rig = *state;
    const DatasetOptions options = { .cache = rig->cache };
    struct timespec times[2] = { { 0 }, { 0 } };

    PACK(rig, pax, none, TWO, text("cat/0.png", ""), text("note", "note"));
    assert_int_equal(utimensat(AT_FDCWD, rig->archive, times, 0), 0);
    assert_int_equal(cat_of(rig->archive, &options), 1);
    PACK(rig, pax, none, image("cat/1.png", 9), image("dog/1.png", 2), text("cat/0.png", ""),
         text("note", "note"));
    assert_int_equal(utimensat(AT_FDCWD, rig->archive, times, 0), 0);
    assert_int_equal(cat_of(rig->archive, &options), 1);
    times[1].tv_nsec = 1;
    assert_int_equal(utimensat(AT_FDCWD, rig->archive, times, 0), 0);
    assert_int_equal(cat_of(rig->archive, &options), 9);
}

static void a_change_makes_the_cache_stale(void **state)
{
    Rig *rig = *state;
    const DatasetOptions options = { .cache = rig->cache };
    const DatasetOptions small = { .cache = rig->cache, .image_size = 8 };
    char path[256];
    Dataset *d;
    FILE *file;
    long size;

    put_cached(rig);
    assert_int_equal(cat_of(rig->tree, &options), 1);
    swap_cat(rig, 9);
    snprintf(path, sizeof path, "%s/dog/1.png", rig->tree);
    assert_int_equal(utimensat(AT_FDCWD, path, NULL, 0), 0); /* touch */
    assert_int_equal(cat_of(rig->tree, &options), 9);
    file = cache_file(rig, &size); /* the old one was replaced: there is one file */
    fclose(file);
    PUT(rig, image("cat/2.png", 77));
    d = opened(rig->tree, &options);
    assert_int_equal(d->train.images, 3);
    dataset_free(d);
    d = opened(rig->tree, &small);
    assert_int_equal(d->height, 8);
    dataset_free(d);
}

static void a_damaged_cache_is_not_believed_and_made_again(void **state)
{
    Rig *rig = *state;
    const DatasetOptions options = { .cache = rig->cache };
    long size, left;
    FILE *file;

    put_cached(rig);
    assert_int_equal(cat_of(rig->tree, &options), 1);
    for (int damage = 0; damage < 5; damage++) {
        uint8_t cat = (uint8_t)(100 + damage), byte;

        swap_cat(rig, cat); /* so that decoding again shows */
        file = cache_file(rig, &size);
        if (damage < 2) {
            left = damage == 0 ? size - 1 : 40;
            assert_int_equal(ftruncate(fileno(file), left), 0);
        } else {
            left = damage == 2 ? size - 10 : damage == 3 ? 16 : 64;
            fseek(file, left, SEEK_SET);
            assert_int_equal(fread(&byte, 1, 1, file), 1);
            byte ^= 4;
            fseek(file, left, SEEK_SET);
            assert_int_equal(fwrite(&byte, 1, 1, file), 1);
        }
        fclose(file);
        assert_int_equal(cat_of(rig->tree, &options), cat);
        swap_cat(rig, 50);
        assert_int_equal(cat_of(rig->tree, &options), cat); /* and cached again */
    }
}

static void without_a_place_for_the_cache_images_are_read_all_the_same(void **state)
{
    Rig *rig = *state;
    const DatasetOptions options = { .cache = "/nowhere/at/all" };

    put_cached(rig);
    assert_int_equal(cat_of(rig->tree, &options), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_RIG(images_have_the_size_that_is_asked_for),
        WITH_RIG(statistics_are_those_of_the_images_named),
        WITH_RIG(the_second_opening_reads_the_cache),
        WITH_RIG(an_archive_is_cached_like_a_directory),
        WITH_RIG(a_change_makes_the_cache_stale),
        WITH_RIG(a_damaged_cache_is_not_believed_and_made_again),
        WITH_RIG(without_a_place_for_the_cache_images_are_read_all_the_same),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
