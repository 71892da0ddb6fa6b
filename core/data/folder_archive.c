/*
 * One pass over the archive, an entry at a time; nothing is ever unpacked to disk, so that a path
 * can do no harm: unsafe ones are left out all the same, as any unpacker would. Which layout it is
 * shows at the end: until then, files with CIFAR's names are kept in memory.
 *
 * Formats and compressions are named one by one: "all of them" would include some that run other
 * programs and one (mtree) whose entries name files on this machine. What a small archive may
 * unfold to is bounded per entry, in the number of entries and in total.
 */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/data/folder_source.h"
#include "core/data/image_decode.h"

#define UNPACKED_BYTES_MAX ((uint64_t)64 << 30)
enum { READ_BYTES = 1 << 17, BLOCK_BYTES = 1 << 16 };

typedef struct Reading {
    struct archive *archive;
    Gather *gather;
    uint64_t unpacked; /* bytes so far, of all entries */
    uint8_t *buffer;   /* of one file */
    size_t room;
    uint8_t *rest; /* [BLOCK_BYTES], where what is not wanted goes */
    Error *err;
} Reading;

static int (*const supported[])(struct archive *) = {
    archive_read_support_filter_gzip,     archive_read_support_filter_bzip2,
    archive_read_support_filter_xz,       archive_read_support_filter_lzma,
    archive_read_support_filter_zstd,     archive_read_support_filter_lz4,
    archive_read_support_filter_compress, archive_read_support_format_tar,
    archive_read_support_format_zip,      archive_read_support_format_7zip,
    archive_read_support_format_cpio,     archive_read_support_format_iso9660,
    archive_read_support_format_cab,      archive_read_support_format_lha,
    archive_read_support_format_rar,      archive_read_support_format_rar5,
    archive_read_support_format_xar,
};

static Status archive_damaged(const Reading *reading)
{
    const char *why = archive_error_string(reading->archive);

    return error_set(reading->err, STATUS_INVALID,
                     "data set \"%s\": cannot read the archive after %u entries: %s",
                     reading->gather->label, reading->gather->count,
                     why != NULL ? why : "unknown reason");
}

static Status no_memory(const Reading *reading)
{
    return error_set(reading->err, STATUS_NO_MEMORY, "data set \"%s\": cannot allocate a buffer",
                     reading->gather->label);
}

/* Up to `want` bytes of the entry; less only at its end. */
static Status take(Reading *reading, uint8_t *to, size_t want, size_t *ret)
{
    size_t got = 0;

    while (got < want) {
        la_ssize_t n = archive_read_data(reading->archive, to + got, want - got);

        if (n < 0)
            return archive_damaged(reading);
        if (n == 0)
            break;
        got += (size_t)n;
    }
    reading->unpacked += got;
    *ret = got;
    if (reading->unpacked > UNPACKED_BYTES_MAX)
        return error_set(reading->err, STATUS_INVALID,
                         "data set \"%s\": the archive unpacks to more than %d GiB",
                         reading->gather->label, (int)(UNPACKED_BYTES_MAX >> 30));
    return STATUS_OK;
}

/* Reads on to the entry's end and counts: skipping it would cost the same time, uncounted. */
static Status pass_over(Reading *reading)
{
    size_t got = BLOCK_BYTES;
    Status s = STATUS_OK;

    while (s == STATUS_OK && got == BLOCK_BYTES)
        s = take(reading, reading->rest, BLOCK_BYTES, &got);
    return s;
}

/* The entry's bytes from *size on, into the buffer, which doubles; *ret_whole is false where there
 * are more than a file may have. */
static Status take_all(Reading *reading, size_t *size, bool *ret_whole)
{
    for (;;) {
        size_t got = 0;
        Status s;

        if (*size == reading->room) {
            size_t room = reading->room * 2;
            uint8_t *larger = realloc(reading->buffer, room);

            if (larger == NULL)
                return no_memory(reading);
            reading->buffer = larger;
            reading->room = room;
        }
        s = take(reading, reading->buffer + *size, reading->room - *size, &got);
        *size += got;
        *ret_whole = *size <= FOLDER_FILE_BYTES_MAX;
        if (s != STATUS_OK || *size < reading->room || !*ret_whole)
            return s;
    }
}

static Status write_all(const Reading *reading, int fd, const uint8_t *bytes, size_t size)
{
    while (size > 0) {
        ssize_t n = write(fd, bytes, size);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_errno(reading->err, STATUS_NO_MEMORY,
                               "data set \"%s\": cannot hold its CIFAR files",
                               reading->gather->label);
        bytes += n;
        size -= (size_t)n;
    }
    return STATUS_OK;
}

/* Unpacks the entry into memory: its reader wants to know lengths before it allocates. */
static Status cifar_take(Reading *reading, const char *path)
{
    Gather *gather = reading->gather;
    size_t got = BLOCK_BYTES;
    int fd = -1;
    Status s = gather_cifar(gather, path, &fd, reading->err);

    while (s == STATUS_OK && got == BLOCK_BYTES) {
        s = take(reading, reading->rest, BLOCK_BYTES, &got);
        gather->cifar_bytes += got;
        if (s == STATUS_OK && gather->cifar_bytes > FOLDER_PIXELS_BYTES_MAX)
            s = error_set(reading->err, STATUS_INVALID,
                          "data set \"%s\": its CIFAR files unpack to more than %zu GiB",
                          gather->label, FOLDER_PIXELS_BYTES_MAX >> 30);
        if (s == STATUS_OK)
            s = write_all(reading, fd, reading->rest, got);
    }
    return s;
}

static Status file_take(Reading *reading, const char *path)
{
    size_t size = 0;
    bool whole = true;
    const char *slash = strrchr(path, '/');
    Status s;

    if (!gather_hidden(path) && cifar_kind(slash != NULL ? slash + 1 : path) != CIFAR_NONE)
        return cifar_take(reading, path);
    s = take(reading, reading->buffer, IMAGE_MAGIC_BYTES, &size);
    if (s == STATUS_OK && size == IMAGE_MAGIC_BYTES) {
        if (gather_hidden(path) || image_format(reading->buffer, size) == NULL) {
            s = pass_over(reading);
            return s == STATUS_OK ? gather_foreign(reading->gather, path, reading->err) : s;
        }
        s = take_all(reading, &size, &whole);
    }
    if (s == STATUS_OK && whole)
        return gather_file(reading->gather, path, reading->buffer, size, reading->err);
    if (s == STATUS_OK)
        s = pass_over(reading);
    return s == STATUS_OK
               ? gather_skip(reading->gather, path, "is larger than 64 MiB", reading->err)
               : s;
}

/* One entry that the archive stands at. */
static Status entry_take(Reading *reading, struct archive_entry *entry)
{
    Gather *gather = reading->gather;
    const char *raw = archive_entry_pathname_utf8(entry), *reason;
    char clean[FOLDER_PATH_MAX];
    const char *path;

    if (raw == NULL)
        raw = archive_entry_pathname(entry);
    if (raw == NULL) {
        gather_note(gather, "\n", "cannot be named");
        return pass_over(reading);
    }
    path = gather_path(raw, clean, &reason);
    if (path == NULL) {
        gather_note(gather, raw, reason);
        return pass_over(reading);
    }
    if (archive_entry_hardlink(entry) != NULL || archive_entry_filetype(entry) == AE_IFLNK)
        return gather_skip(gather, path, "is a link", reading->err);
    if (archive_entry_filetype(entry) == AE_IFDIR)
        return gather_folder(gather, path, reading->err);
    if (archive_entry_filetype(entry) != AE_IFREG)
        return gather_skip(gather, path, "is no regular file", reading->err);
    if (archive_entry_is_encrypted(entry))
        return gather_skip(gather, path, "is encrypted", reading->err);
    return file_take(reading, path);
}

static Status entries_take(Reading *reading)
{
    struct archive_entry *entry;
    uint32_t entries = 0;
    Status s = STATUS_OK;

    while (s == STATUS_OK) {
        int answer = archive_read_next_header(reading->archive, &entry);

        if (answer == ARCHIVE_EOF)
            return STATUS_OK;
        if (answer < ARCHIVE_WARN) /* a warning is about a name or a time */
            return archive_damaged(reading);
        if (entries++ == FOLDER_ENTRIES_MAX)
            return error_set(reading->err, STATUS_INVALID,
                             "data set \"%s\": the archive has more than %d entries",
                             reading->gather->label, FOLDER_ENTRIES_MAX);
        s = entry_take(reading, entry);
    }
    return s;
}

static Status archive_read_all(int fd, Gather *gather, Error *err)
{
    Reading reading = { .archive = archive_read_new(), .gather = gather, .err = err };
    Status s;

    reading.room = READ_BYTES;
    reading.buffer = malloc(reading.room);
    reading.rest = malloc(BLOCK_BYTES);
    if (reading.archive == NULL || reading.buffer == NULL || reading.rest == NULL) {
        s = no_memory(&reading);
    } else {
        for (size_t i = 0; i < sizeof supported / sizeof *supported; i++)
            supported[i](reading.archive);
        if (archive_read_open_fd(reading.archive, fd, READ_BYTES) == ARCHIVE_OK)
            s = entries_take(&reading);
        else
            s = error_set(err, STATUS_INVALID,
                          "data set \"%s\": its file is no archive that can be read: %s",
                          gather->label, archive_error_string(reading.archive));
    }
    archive_read_free(reading.archive);
    free(reading.buffer);
    free(reading.rest);
    return s;
}

/* libarchive turns names to those of the thread's locale, and loses them where they do not fit: for
 * as long as it reads, this thread's is UTF-8. */
Status archive_gather(int fd, Gather *gather, Error *err)
{
    locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    locale_t before = utf8 != (locale_t)0 ? uselocale(utf8) : (locale_t)0;
    Status s = archive_read_all(fd, gather, err);

    if (utf8 != (locale_t)0) {
        uselocale(before);
        freelocale(utf8);
    }
    return s;
}
