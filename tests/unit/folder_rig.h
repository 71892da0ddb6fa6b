/* Folder data sets for tests: a tree of small files, written as a directory or packed as an
 * archive. */
#pragma once

#include <archive.h>
#include <archive_entry.h>
#include <locale.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/data/dataset.h"
#include "tests/unit/pictures.h"
#include "tests/unit/scratch.h"
#include "tests/unit/test.h"

/* One file. bytes NULL: a flat image of the colour (red, 20, 30), 5x5 pixels. */
typedef struct File {
    const char *path;
    uint8_t red;
    const void *bytes;
    size_t size;
    unsigned type; /* 0: a regular file; AE_IFDIR, AE_IFLNK */
    const char *link;
    bool hard;
} File;

typedef struct Rig {
    Scratch scratch;
    char tree[96], archive[96], cache[96];
} Rig;

static inline int rig_make(void **state)
{
    Rig *rig = calloc(1, sizeof *rig);

    rig->scratch = scratch_new();
    snprintf(rig->tree, sizeof rig->tree, "%s/tree", rig->scratch.path);
    snprintf(rig->archive, sizeof rig->archive, "%s/archive", rig->scratch.path);
    snprintf(rig->cache, sizeof rig->cache, "%s/cache", rig->scratch.path);
    *state = rig;
    return mkdir(rig->tree, 0700) | mkdir(rig->cache, 0700);
}

static inline int rig_remove(void **state)
{
    Rig *rig = *state;

    scratch_remove(&rig->scratch);
    free(rig);
    return 0;
}

static inline File image(const char *path, uint8_t red)
{
    return (File){ .path = path, .red = red };
}

static inline File data(const char *path, const void *bytes, size_t size)
{
    return (File){ .path = path, .bytes = bytes, .size = size };
}

static inline File text(const char *path, const char *string)
{
    return data(path, string, strlen(string));
}

static inline File soft_link(const char *path, const char *to)
{
    return (File){ .path = path, .type = AE_IFLNK, .link = to };
}

/* The file's bytes; free() them. */
static inline Picture file_bytes(const File *file)
{
    Picture bytes = { malloc(file->size + 1), file->size };

    if (file->bytes == NULL && file->type == 0) {
        free(bytes.bytes);
        return picture_flat(5, 5, file->red, 20, 30);
    }
    if (file->size > 0)
        memcpy(bytes.bytes, file->bytes, file->size);
    return bytes;
}

static inline void write_file(const char *path, const void *bytes, size_t size)
{
    FILE *out = fopen(path, "wb");

    assert_non_null(out);
    assert_int_equal(fwrite(bytes, 1, size, out), size);
    assert_int_equal(fclose(out), 0);
}

/* Below rig->tree, with the folders that it takes. */
static inline void put(const Rig *rig, const File *file)
{
    char path[512];
    Picture bytes = file_bytes(file);

    snprintf(path, sizeof path, "%s/%s", rig->tree, file->path);
    for (char *at = path + strlen(rig->tree) + 1; (at = strchr(at, '/')) != NULL; at++) {
        *at = '\0';
        (void)!mkdir(path, 0700);
        *at = '/';
    }
    if (file->type == AE_IFDIR)
        assert_int_equal(mkdir(path, 0700), 0);
    else if (file->type == AE_IFLNK)
        assert_int_equal(symlink(file->link, path), 0);
    else
        write_file(path, bytes.bytes, bytes.size);
    free(bytes.bytes);
}

static inline void archive_put(struct archive *archive, const File *file)
{
    struct archive_entry *entry = archive_entry_new();
    Picture bytes = file_bytes(file);

    archive_entry_set_pathname(entry, file->path);
    archive_entry_set_filetype(entry, file->type != 0 ? file->type : AE_IFREG);
    archive_entry_set_perm(entry, 0600);
    archive_entry_set_size(entry, file->type == 0 && !file->hard ? (la_int64_t)bytes.size : 0);
    if (file->type == AE_IFLNK)
        archive_entry_set_symlink(entry, file->link);
    if (file->hard)
        archive_entry_set_hardlink(entry, file->link);
    assert_true(archive_write_header(archive, entry) >= ARCHIVE_WARN);
    if (file->type == 0 && !file->hard)
        assert_int_equal(archive_write_data(archive, bytes.bytes, bytes.size), bytes.size);
    archive_entry_free(entry);
    free(bytes.bytes);
}

/* Into rig->archive. The writer turns names from the locale's characters to the format's. */
static inline void pack(const Rig *rig, int (*format)(struct archive *),
                        int (*filter)(struct archive *), const File *files, size_t count)
{
    struct archive *archive = archive_write_new();
    locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0), before = uselocale(utf8);

    assert_int_equal(format(archive), ARCHIVE_OK);
    assert_int_equal(filter(archive), ARCHIVE_OK);
    assert_int_equal(archive_write_open_filename(archive, rig->archive), ARCHIVE_OK);
    for (size_t i = 0; i < count; i++)
        archive_put(archive, &files[i]);
    assert_int_equal(archive_write_free(archive), ARCHIVE_OK);
    uselocale(before);
    freelocale(utf8);
}

#define PUT(rig, ...)                                                       \
    do {                                                                    \
        const File made[] = { __VA_ARGS__ };                                \
        for (size_t put_i = 0; put_i < sizeof made / sizeof *made; put_i++) \
            put(rig, &made[put_i]);                                         \
    } while (0)
#define PACK(rig, format, filter, ...)                                                        \
    do {                                                                                      \
        const File made[] = { __VA_ARGS__ };                                                  \
        pack(rig, archive_write_set_format_##format, archive_write_add_filter_##filter, made, \
             sizeof made / sizeof *made);                                                     \
    } while (0)

static inline Dataset *opened(const char *path, const DatasetOptions *options)
{
    Dataset *dataset = NULL;
    Error err = { 0 };

    if (dataset_open("mine", path, options, &dataset, &err) != STATUS_OK)
        fail_msg("not opened: %s", error_message(&err));
    assert_string_equal(dataset->layout, "folder");
    return dataset;
}

static inline void assert_refused(const char *path, const char *part)
{
    Dataset *dataset = NULL;
    Error err = { 0 };

    assert_int_equal(dataset_open("mine", path, NULL, &dataset, &err), STATUS_INVALID);
    assert_null(dataset);
    assert_non_null(strstr(error_message(&err), "\"mine\""));
    if (strstr(error_message(&err), part) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", error_message(&err), part);
}

/* These images, in any order: the first pixel's red tells which one it is. */
static inline void assert_images(const Dataset *dataset, const ImageSet *set, uint32_t count,
                                 const uint8_t *reds, const char *const *classes)
{
    size_t bytes = (size_t)dataset->height * dataset->width * 3;

    assert_int_equal(set->images, count);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = 0;

        while (at < count && set->pixels[at * bytes] != reds[i])
            at++;
        if (at == count)
            fail_msg("there is no image %u", reds[i]);
        assert_string_equal(dataset->class_names[set->labels[at]], classes[i]);
        for (size_t p = 0; p < bytes; p += 3) {
            assert_int_equal(set->pixels[at * bytes + p], reds[i]);
            assert_int_equal(set->pixels[at * bytes + p + 1], 20);
            assert_int_equal(set->pixels[at * bytes + p + 2], 30);
        }
    }
}

/* Two classes of one image each, so that a test is about what it adds. */
#define TWO image("cat/1.png", 1), image("dog/1.png", 2)

#define WITH_RIG(test) cmocka_unit_test_setup_teardown(test, rig_make, rig_remove)
