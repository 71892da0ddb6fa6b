/* folder: which files of a folder data set are read, as a directory and in archives, and how. */
#include "tests/unit/test.h"

#include "core/base/rng.h"
#include "core/data/folder_source.h"
#include "core/data/loader.h"
#include "tests/unit/folder_rig.h"

/* ---- Layouts ---- */

static void folders_of_train_and_test_are_read_with_sorted_classes(void **state)
{
    Rig *rig = *state;
    Dataset *d;

    PUT(rig, image("train/dog/b.png", 1), image("train/cat/a.jpg", 2), image("train/cat-b/x", 3),
        image("test/cat/1.png", 4), image("train/cat/deeper/still/1.png", 5));
    d = opened(rig->tree, NULL);
    assert_int_equal(d->classes, 3);
    assert_string_equal(d->class_names[0], "cat");
    assert_string_equal(d->class_names[1], "cat-b");
    assert_string_equal(d->class_names[2], "dog");
    assert_int_equal(d->height, 32);
    assert_int_equal(d->width, 32);
    assert_int_equal(d->channels, 3);
    assert_images(d, &d->train, 4, (const uint8_t[]){ 1, 2, 3, 5 },
                  (const char *const[]){ "dog", "cat", "cat-b", "cat" });
    assert_images(d, &d->test, 1, (const uint8_t[]){ 4 }, (const char *const[]){ "cat" });
    assert_int_equal(d->skipped, 0);
    assert_int_equal(d->foreign, 0);
    dataset_free(d);
}

static void class_folders_alone_are_training_images(void **state)
{
    Rig *rig = *state;
    const DataSpec spec = { .val_images = 1 };
    Loader loader;
    Dataset *d;

    PUT(rig, TWO);
    d = opened(rig->tree, NULL);
    assert_images(d, &d->train, 2, (const uint8_t[]){ 1, 2 },
                  (const char *const[]){ "cat", "dog" });
    assert_int_equal(d->test.images, 0);
    assert_int_equal(loader_init(&loader, d, &spec, NULL), STATUS_OK);
    assert_int_equal(loader.images[SPLIT_TEST], 0);
    loader_clear(&loader);
    dataset_free(d);
}

static void a_class_may_be_called_train(void **state)
{
    Rig *rig = *state;
    Dataset *d;

    PUT(rig, image("train/1.png", 1), image("bus/1.png", 2));
    d = opened(rig->tree, NULL);
    assert_images(d, &d->train, 2, (const uint8_t[]){ 1, 2 },
                  (const char *const[]){ "train", "bus" });
    dataset_free(d);
}

static void val_stands_for_test_where_there_is_none(void **state)
{
    Rig *rig = *state;
    Dataset *d;

    PUT(rig, image("train/cat/1.png", 1), image("train/dog/1.png", 2), image("val/dog/1.png", 3));
    d = opened(rig->tree, NULL);
    assert_images(d, &d->test, 1, (const uint8_t[]){ 3 }, (const char *const[]){ "dog" });
    dataset_free(d);
    PUT(rig, image("test/cat/1.png", 4));
    d = opened(rig->tree, NULL);
    assert_images(d, &d->test, 1, (const uint8_t[]){ 4 }, (const char *const[]){ "cat" });
    assert_int_equal(d->skipped, 1);
    assert_string_equal(d->skipped_names, "val/dog/1.png (is in no class folder)");
    dataset_free(d);
}

static void folders_around_everything_do_not_matter(void **state)
{
    Rig *rig = *state;
    Dataset *d;

    PACK(rig, pax_restricted, none, image("./top/images/train/cat/1.png", 1),
         image("top/images/train/dog/1.png", 2), image("top/images/test/dog/1.png", 3),
         text("README", "read me"), text("top/doc/manual.txt", "manual"));
    d = opened(rig->archive, NULL);
    assert_images(d, &d->train, 2, (const uint8_t[]){ 1, 2 },
                  (const char *const[]){ "cat", "dog" });
    assert_images(d, &d->test, 1, (const uint8_t[]){ 3 }, (const char *const[]){ "dog" });
    assert_int_equal(d->foreign, 2);
    dataset_free(d);
}

/* What is read of a path that is shorter than the folders around is beyond its end: the sanitizers
 * see it. */
static void what_lies_outside_of_the_folders_around_may_have_a_shorter_path(void **state)
{
    Rig *rig = *state;
    char around[601], cat[640], dog[640];
    Dataset *d;

    memset(around, 'a', 600);
    around[600] = '\0';
    snprintf(cat, sizeof cat, "%s/cat/1.png", around);
    snprintf(dog, sizeof dog, "%s/dog/1.png", around);
    PACK(rig, pax_restricted, none, image(cat, 1), image(dog, 2), text("x", "no image"));
    d = opened(rig->archive, NULL);
    assert_images(d, &d->train, 2, (const uint8_t[]){ 1, 2 },
                  (const char *const[]){ "cat", "dog" });
    assert_int_equal(d->foreign, 1);
    dataset_free(d);
}

static void images_come_in_a_fixed_shuffle_of_the_sorted_paths(void **state)
{
    enum { COUNT = 40 };
    Rig *rig = *state;
    Rng rng = rng_at(0, RNG_FILES, 0, 0);
    uint32_t order[COUNT];
    Dataset *d;

    for (uint32_t i = COUNT; i-- > 0;) {
        char path[32];

        snprintf(path, sizeof path, "%s/%02u.png", i < 15 ? "cat" : "dog", i);
        PUT(rig, image(path, (uint8_t)(100 + i)));
    }
    d = opened(rig->tree, NULL);
    rng_permutation(&rng, COUNT, order);
    assert_int_equal(d->train.images, COUNT);
    for (uint32_t i = 0; i < COUNT; i++) {
        assert_int_equal(d->train.pixels[i * 3 * 32 * 32], 100 + order[i]);
        assert_int_equal(d->train.labels[i], order[i] < 15 ? 0 : 1);
    }
    dataset_free(d);
}

static void any_archive_gives_what_the_directory_gives(void **state)
{
    static const struct {
        int (*format)(struct archive *), (*filter)(struct archive *);
    } kinds[] = {
        { archive_write_set_format_pax, archive_write_add_filter_xz },
        { archive_write_set_format_ustar, archive_write_add_filter_gzip },
        { archive_write_set_format_gnutar, archive_write_add_filter_bzip2 },
        { archive_write_set_format_pax, archive_write_add_filter_zstd },
        { archive_write_set_format_zip, archive_write_add_filter_none },
        { archive_write_set_format_7zip, archive_write_add_filter_none },
        { archive_write_set_format_cpio, archive_write_add_filter_lzma },
    };
    const File files[] = { image("train/k\xc3\xa4se/1.png", 1), image("train/brot/1.png", 2),
                           image("train/brot/2.png", 3), image("test/brot/2.png", 4) };
    Rig *rig = *state;
    Dataset *want;

    for (size_t i = 0; i < 4; i++)
        put(rig, &files[i]);
    want = opened(rig->tree, NULL);
    for (size_t kind = 0; kind < sizeof kinds / sizeof *kinds; kind++) {
        Dataset *d;

        pack(rig, kinds[kind].format, kinds[kind].filter, files, 4);
        d = opened(rig->archive, NULL);
        assert_int_equal(d->train.images, 3);
        assert_int_equal(d->test.images, 1);
        assert_memory_equal(d->train.pixels, want->train.pixels, 3 * 3072);
        assert_memory_equal(d->train.labels, want->train.labels, 6);
        assert_memory_equal(d->test.pixels, want->test.pixels, 3072);
        assert_string_equal(d->class_names[1], "k\xc3\xa4se");
        dataset_free(d);
    }
    dataset_free(want);
}

/* Two records of label 3 and one of label 4, as an archive like the official one. */
static void cifar_records_in_an_archive_are_read_like_the_directory(void **state)
{
    enum { RECORD = 3073 };
    Rig *rig = *state;
    DatasetOptions options = { .cache = rig->cache };
    uint8_t records[2 * RECORD] = { [0] = 3, [1] = 11, [RECORD] = 3 }, test[RECORD] = { 4 };
    const File meta = text("x/batches.meta.txt", "a\nb\nc\nd\ne\nf\ng\nh\ni\nlast\n");
    const File batch = data("x/data_batch_1.bin", records, sizeof records);
    Dataset *d = NULL;
    Error err = { 0 };

    PACK(rig, pax, gzip, meta, text("x/readme.html", "hello"), batch,
         data("x/test_batch.bin", test, sizeof test));
    assert_int_equal(dataset_open("mine", rig->archive, &options, &d, NULL), STATUS_OK);
    assert_string_equal(d->layout, "cifar10");
    assert_string_equal(d->class_names[9], "last");
    assert_int_equal(d->train.images, 2);
    assert_int_equal(d->train.labels[1], 3);
    assert_int_equal(d->train.pixels[0], 11);
    assert_int_equal(d->test.labels[0], 4);
    assert_true(d->mean[0] == .4914f);
    dataset_free(d);
    options.image_size = 16;
    assert_int_equal(dataset_open("mine", rig->archive, &options, &d, &err), STATUS_INVALID);
    assert_string_equal(err.detail[0].pointer, "/image_size");
    PACK(rig, pax, gzip, meta, batch);
    assert_refused(rig->archive, "test_batch.bin is missing");
    PACK(rig, pax, gzip, batch, data("y/data_batch_1.bin", records, sizeof records));
    assert_refused(rig->archive, "data_batch_1.bin is in it twice");
    PACK(rig, pax, gzip, batch, data("x/test_batch.bin", test, sizeof test - 1));
    assert_refused(rig->archive, "test_batch.bin: record at offset 0 is cut short");
}

/* ---- What is not read ---- */

static void files_that_are_no_images_are_counted_and_hidden_ones_ignored(void **state)
{
    Rig *rig = *state;
    Dataset *d;

    PUT(rig, TWO, text("cat/README", "read me"), text("Thumbs.db", "thumbs"),
        image("cat/.DS_Store", 9), image(".git/x/1.png", 9), image("__MACOSX/cat/1.png", 9),
        text("cat/page.jpg", "<html></html>"));
    d = opened(rig->tree, NULL);
    assert_int_equal(d->classes, 2);
    assert_int_equal(d->train.images, 2);
    assert_int_equal(d->skipped, 0);
    assert_int_equal(d->foreign, 4);
    dataset_free(d);
    PACK(rig, zip, none, TWO, text("cat/README", "read me"), image("x/.cache/1.png", 9),
         image("__MACOSX/cat/._1.png", 9));
    d = opened(rig->archive, NULL);
    assert_int_equal(d->classes, 2);
    assert_int_equal(d->train.images, 2);
    assert_int_equal(d->foreign, 3);
    dataset_free(d);
}

static void damaged_images_are_left_out_counted_and_named(void **state)
{
    Rig *rig = *state;
    Picture whole = picture_flat(9, 9, 1, 2, 3);
    Dataset *d;

    PUT(rig, TWO, data("cat/cut.png", whole.bytes, whole.size - 20), text("dog/empty.jpg", ""));
    free(whole.bytes);
    d = opened(rig->tree, NULL);
    assert_int_equal(d->train.images, 2);
    assert_int_equal(d->skipped, 2);
    assert_string_equal(d->skipped_names, "cat/cut.png (is a damaged PNG (it ends too early)), "
                                          "dog/empty.jpg (is empty)");
    dataset_free(d);
}

static void only_the_first_damaged_images_are_named(void **state)
{
    Rig *rig = *state;
    Dataset *d;
    size_t length;

    PUT(rig, TWO);
    for (int i = 0; i < 100; i++) {
        char path[64];

        snprintf(path, sizeof path, "cat/a file with an odd name %03d.png", i);
        PUT(rig, text(path, ""));
    }
    d = opened(rig->tree, NULL);
    assert_int_equal(d->skipped, 100);
    length = strlen(d->skipped_names);
    assert_in_range(length, 400, DATASET_SKIPPED_NAMES_MAX - 1);
    assert_string_equal(d->skipped_names + length - 5, ", ...");
    assert_non_null(strstr(d->skipped_names, "name 003.png (is empty), "));
    dataset_free(d);
}

static void unsafe_and_linked_entries_of_an_archive_are_left_out(void **state)
{
    Rig *rig = *state;
    Dataset *d;

    PACK(rig, pax, none, TWO, image("/cat/absolute.png", 9), image("cat/../../up.png", 9),
         soft_link("cat/soft.png", "/etc/passwd"),
         (File){ .path = "cat/hard.png", .hard = true, .link = "cat/1.png" },
         text("cat/\x01odd.png", ""));
    d = opened(rig->archive, NULL);
    assert_images(d, &d->train, 2, (const uint8_t[]){ 1, 2 },
                  (const char *const[]){ "cat", "dog" });
    assert_int_equal(d->skipped, 5);
    assert_string_equal(d->skipped_names,
                        "/cat/absolute.png (has an absolute path), cat/../../up.png (has .. in its "
                        "path), cat/soft.png (is a link), cat/hard.png (is a link), a file with an "
                        "unprintable name (is empty)");
    dataset_free(d);
}

static void links_and_pipes_in_a_directory_are_left_out(void **state)
{
    Rig *rig = *state;
    char pipe[128];
    Dataset *d;

    PUT(rig, TWO, soft_link("cat/2.png", "1.png"), soft_link("dog/loop", ".."));
    snprintf(pipe, sizeof pipe, "%s/dog/pipe", rig->tree);
    assert_int_equal(mkfifo(pipe, 0600), 0);
    d = opened(rig->tree, NULL);
    assert_int_equal(d->train.images, 2);
    assert_string_equal(
        d->skipped_names,
        "cat/2.png (is a link), dog/loop (is a link), dog/pipe (is no regular file)");
    dataset_free(d);
}

static void a_folder_that_became_a_link_is_not_followed(void **state)
{
    Rig *rig = *state;
    Directory directory;
    Gather gather = { .label = "mine", .image_size = 8 };
    char cat[128], outside[128];

    PUT(rig, TWO, image("bird/deep/1.png", 3));
    assert_int_equal(directory_list(&directory, "mine", rig->tree, NULL), STATUS_OK);
    snprintf(cat, sizeof cat, "%s/cat", rig->tree);
    snprintf(outside, sizeof outside, "%s/outside", rig->scratch.path);
    assert_int_equal(rename(cat, outside), 0);
    assert_int_equal(symlink(outside, cat), 0);
    assert_int_equal(directory_gather(&directory, &gather, NULL), STATUS_OK);
    assert_int_equal(gather.images, 2);
    assert_int_equal(gather.skipped, 1);
    assert_string_equal(gather.skipped_names, "cat/1.png (cannot be opened)");
    gather_clear(&gather);
    directory_clear(&directory);
}

static void of_entries_with_one_name_the_last_counts(void **state)
{
    Rig *rig = *state;
    Dataset *d;

    PACK(rig, pax, none, image("cat/1.png", 7), TWO, image("./cat//1.png", 5));
    d = opened(rig->archive, NULL);
    assert_images(d, &d->train, 2, (const uint8_t[]){ 5, 2 },
                  (const char *const[]){ "cat", "dog" });
    assert_int_equal(d->skipped, 2);
    dataset_free(d);
}

static void an_entry_of_very_many_bytes_is_passed_over(void **state)
{
    enum { BYTES = 65 << 20 };
    Rig *rig = *state;
    uint8_t *bomb = calloc(1, BYTES);
    Dataset *d;

    memcpy(bomb, "\x89PNG\r\n\x1a\n", 8);
    PACK(rig, pax, zstd, data("cat/0.png", bomb, BYTES), TWO);
    free(bomb);
    d = opened(rig->archive, NULL);
    assert_int_equal(d->train.images, 2);
    assert_string_equal(d->skipped_names, "cat/0.png (is larger than 64 MiB)");
    dataset_free(d);
}

/* ---- What is refused ---- */

static void a_class_without_a_readable_training_image_is_named(void **state)
{
    Rig *rig = *state;

    PUT(rig, TWO, (File){ .path = "empty", .type = AE_IFDIR });
    assert_refused(rig->tree, "class folder \"empty\" has no readable training image");
    PUT(rig, text("empty/note.txt", "nothing"));
    assert_refused(rig->tree, "class folder \"empty\" has no readable training image");
    PUT(rig, text("empty/broken.png", "\x89PNG\r\n\x1a\nrest"));
    assert_refused(rig->tree, "training image; left out: empty/broken.png (is a damaged PNG");
}

static void a_class_of_test_images_alone_is_named(void **state)
{
    Rig *rig = *state;

    PACK(rig, pax, none, image("train/a/1.png", 1), image("train/b/1.png", 1),
         image("test/c/1.png", 1));
    assert_refused(rig->archive, "class folder \"c\" has no readable training image");
}

static void fewer_than_two_classes_are_refused(void **state)
{
    Rig *rig = *state;

    assert_refused(rig->tree, "neither CIFAR files");
    PUT(rig, image("1.png", 1));
    assert_refused(rig->tree, "0 class folder(s)");
    PUT(rig, image("train/cat/1.png", 1));
    PACK(rig, pax, none, image("train/cat/1.png", 1));
    assert_refused(rig->archive, "1 class folder(s)");
    PACK(rig, pax, none, image("test/a/1.png", 1), image("val/b/1.png", 1));
    assert_refused(rig->archive, "no training images in train/CLASS/");
    PACK(rig, pax, none, text("cat/1.png", ""));
    assert_refused(rig->archive, "none of its 1 images can be read: cat/1.png (is empty)");
}

static void class_names_are_text_of_bounded_length_and_number(void **state)
{
    char name[80], path[96];
    File *files = calloc(DATASET_CLASSES_MAX + 1, sizeof *files);
    char(*paths)[16] = calloc(DATASET_CLASSES_MAX + 1, sizeof *paths);
    Rig *rig = *state;
    Dataset *d;

    memset(name, 'x', sizeof name);
    snprintf(path, sizeof path, "%.63s/1.png", name);
    PACK(rig, pax, none, TWO, image(path, 3));
    d = opened(rig->archive, NULL);
    assert_int_equal(strlen(d->class_names[2]), 63);
    dataset_free(d);
    snprintf(path, sizeof path, "%.64s/1.png", name);
    PACK(rig, pax, none, TWO, image(path, 3));
    assert_refused(rig->archive, "has a name of 64 bytes: at most 63");
    PUT(rig, TWO, image("a\nb/1.png", 3));
    assert_refused(rig->tree, "the name of its 1. class folder is not UTF-8 text");
    for (uint32_t i = 0; i <= DATASET_CLASSES_MAX; i++) {
        snprintf(paths[i], sizeof *paths, "%04u/1.png", i);
        files[i] = image(paths[i], 1);
    }
    pack(rig, archive_write_set_format_pax, archive_write_add_filter_none, files,
         DATASET_CLASSES_MAX + 1);
    assert_refused(rig->archive, "more than 1000 class folders");
    free(files);
    free(paths);
}

static void what_is_no_archive_or_a_cut_one_is_refused(void **state)
{
    Rig *rig = *state;
    struct stat st;

    write_file(rig->archive, "no archive at all", 17);
    assert_refused(rig->archive, "is no archive that can be read");
    write_file(rig->archive, "", 0);
    assert_refused(rig->archive, "is no archive that can be read");
    assert_refused("/nowhere/at/all", "cannot open its directory or archive");
    assert_refused("/dev/null", "neither a directory nor a regular file");
    PACK(rig, pax, none, TWO);
    assert_int_equal(truncate(rig->archive, 2000), 0); /* in the second header */
    assert_refused(rig->archive, "cannot read the archive after 1 entries: ");
    PACK(rig, pax, xz, TWO);
    assert_int_equal(stat(rig->archive, &st), 0);
    assert_int_equal(truncate(rig->archive, st.st_size - 20), 0);
    assert_refused(rig->archive, "zma");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_RIG(folders_of_train_and_test_are_read_with_sorted_classes),
        WITH_RIG(class_folders_alone_are_training_images),
        WITH_RIG(a_class_may_be_called_train),
        WITH_RIG(val_stands_for_test_where_there_is_none),
        WITH_RIG(folders_around_everything_do_not_matter),
        WITH_RIG(what_lies_outside_of_the_folders_around_may_have_a_shorter_path),
        WITH_RIG(images_come_in_a_fixed_shuffle_of_the_sorted_paths),
        WITH_RIG(any_archive_gives_what_the_directory_gives),
        WITH_RIG(cifar_records_in_an_archive_are_read_like_the_directory),
        WITH_RIG(files_that_are_no_images_are_counted_and_hidden_ones_ignored),
        WITH_RIG(damaged_images_are_left_out_counted_and_named),
        WITH_RIG(only_the_first_damaged_images_are_named),
        WITH_RIG(unsafe_and_linked_entries_of_an_archive_are_left_out),
        WITH_RIG(links_and_pipes_in_a_directory_are_left_out),
        WITH_RIG(a_folder_that_became_a_link_is_not_followed),
        WITH_RIG(of_entries_with_one_name_the_last_counts),
        WITH_RIG(an_entry_of_very_many_bytes_is_passed_over),
        WITH_RIG(a_class_without_a_readable_training_image_is_named),
        WITH_RIG(a_class_of_test_images_alone_is_named),
        WITH_RIG(fewer_than_two_classes_are_refused),
        WITH_RIG(class_names_are_text_of_bounded_length_and_number),
        WITH_RIG(what_is_no_archive_or_a_cut_one_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
