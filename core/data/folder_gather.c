/* Arrays double; with a system that maps large ones, growing moves no bytes and only what was
 * written takes memory. */
#include "core/data/folder_gather.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/data/image_resize.h"

void gather_clear(Gather *gather)
{
    for (uint32_t i = 0; i < gather->cifar_files; i++)
        close(gather->cifar[i].fd);
    free(gather->entry);
    free(gather->paths);
    free(gather->pixels);
    *gather = (Gather){ 0 };
}

size_t gather_image_bytes(const Gather *gather)
{
    return (size_t)gather->image_size * gather->image_size * 3;
}

/* ---- Paths ---- */

const char *gather_path(const char *raw, char *ret, const char **ret_reason)
{
    size_t used = 0;

    *ret_reason = NULL;
    if (raw[0] == '/')
        *ret_reason = "has an absolute path";
    for (const char *part = raw; *part != '\0' && *ret_reason == NULL;) {
        size_t length = strcspn(part, "/");

        if (length == 2 && memcmp(part, "..", 2) == 0)
            *ret_reason = "has .. in its path";
        else if (used + length + 2 > FOLDER_PATH_MAX)
            *ret_reason = "has a path that is too long";
        else if (length > 0 && !(length == 1 && part[0] == '.')) {
            if (used > 0)
                ret[used++] = '/';
            memcpy(ret + used, part, length);
            used += length;
        }
        part += length + (part[length] == '/');
    }
    ret[used] = '\0';
    return *ret_reason == NULL ? ret : NULL;
}

bool gather_hidden(const char *path)
{
    static const char resources[] = "__MACOSX";

    for (const char *part = path; *part != '\0';) {
        size_t length = strcspn(part, "/");

        if (part[0] == '.' ||
            (length == sizeof resources - 1 && memcmp(part, resources, sizeof resources - 1) == 0))
            return true;
        part += length + (part[length] == '/');
    }
    return false;
}

/* Length of the character at `text`, 0 where it is none or a control character. Overlong forms,
 * surrogates and what lies beyond U+10FFFF are none. */
static size_t character(const uint8_t *text)
{
    static const uint32_t least[5] = { 0, 0x20, 0x80, 0x800, 0x10000 };
    size_t length = text[0] < 0x80 ? 1 : text[0] >= 0xf0 ? 4 : text[0] >= 0xe0 ? 3 : 2;
    uint32_t code = length == 1 ? text[0] : text[0] & (0x7fu >> length);

    if (text[0] >= 0xf8 || (text[0] & 0xc0) == 0x80)
        return 0;
    for (size_t i = 1; i < length; i++) {
        if ((text[i] & 0xc0) != 0x80) /* a NUL, too: nothing is read beyond it */
            return 0;
        code = code << 6 | (text[i] & 0x3f);
    }
    if (code < least[length] || (code >= 0x7f && code < 0xa0) || (code >> 11) == 0x1b ||
        code > 0x10ffff)
        return 0;
    return length;
}

bool gather_text(const char *text)
{
    for (size_t length; *text != '\0'; text += length)
        if ((length = character((const uint8_t *)text)) == 0)
            return false;
    return true;
}

/* ---- Notes ---- */

void gather_note(Gather *gather, const char *path, const char *reason)
{
    char note[sizeof gather->skipped_names];
    size_t used = strlen(gather->skipped_names), more;

    gather->skipped++;
    /* A note that does not fit ends the list; a cut one would cut characters, too. */
    more = (size_t)snprintf(note, sizeof note, "%s%s (%s)", used > 0 ? ", " : "",
                            gather_text(path) ? path : "a file with an unprintable name", reason);
    if (used + more < sizeof gather->skipped_names &&
        !(used > 3 && memcmp(gather->skipped_names + used - 3, "...", 3) == 0))
        memcpy(gather->skipped_names + used, note, more + 1);
    else if (used > 0 && used + 5 < sizeof gather->skipped_names &&
             memcmp(gather->skipped_names + used - 3, "...", 3) != 0)
        memcpy(gather->skipped_names + used, ", ...", 6);
}

/* ---- Entries ---- */

/* Room for one more of `size` bytes; the array doubles, up to `most`. */
static bool grow(void *array, uint32_t count, uint32_t *room, size_t size, uint32_t most)
{
    void **at = array, *larger;
    uint32_t wanted = *room == 0 ? 64 : *room > most / 2 ? most : *room * 2;

    if (count < *room)
        return true;
    larger = realloc(*at, wanted * size);
    if (larger == NULL)
        return false;
    *at = larger;
    *room = wanted;
    return true;
}

static Status no_memory(const Gather *gather, Error *err)
{
    return error_set(err, STATUS_NO_MEMORY, "data set \"%s\": cannot allocate its %u. file",
                     gather->label, gather->count + 1);
}

static Status path_keep(Gather *gather, const char *path, size_t *ret, Error *err)
{
    size_t bytes = strlen(path) + 1, room = gather->paths_room;

    while (gather->paths_bytes + bytes > room)
        room = room == 0 ? 4096 : room * 2;
    if (gather->paths_bytes + bytes > FOLDER_PATHS_BYTES_MAX)
        return error_set(err, STATUS_INVALID,
                         "data set \"%s\": the paths of its files are longer than %zu MiB",
                         gather->label, FOLDER_PATHS_BYTES_MAX >> 20);
    if (room > gather->paths_room) {
        char *larger = realloc(gather->paths, room);

        if (larger == NULL)
            return no_memory(gather, err);
        gather->paths = larger;
        gather->paths_room = room;
    }
    memcpy(gather->paths + gather->paths_bytes, path, bytes);
    *ret = gather->paths_bytes;
    gather->paths_bytes += bytes;
    return STATUS_OK;
}

static Status entry_add(Gather *gather, const char *path, EntryKind kind, Error *err)
{
    GatherEntry entry = { .kind = kind, .order = gather->count, .image = gather->images };
    Status s;

    if (gather->count == FOLDER_ENTRIES_MAX)
        return error_set(err, STATUS_INVALID, "data set \"%s\": more than %d files and folders",
                         gather->label, FOLDER_ENTRIES_MAX);
    if (!grow(&gather->entry, gather->count, &gather->entry_room, sizeof entry, FOLDER_ENTRIES_MAX))
        return no_memory(gather, err);
    s = path_keep(gather, path, &entry.path, err);
    if (s != STATUS_OK)
        return s;
    gather->entry[gather->count++] = entry;
    return STATUS_OK;
}

Status gather_folder(Gather *gather, const char *path, Error *err)
{
    if (path[0] == '\0' || gather_hidden(path))
        return STATUS_OK;
    return entry_add(gather, path, ENTRY_FOLDER, err);
}

Status gather_foreign(Gather *gather, const char *path, Error *err)
{
    gather->foreign++;
    return gather_hidden(path) ? STATUS_OK : entry_add(gather, path, ENTRY_FOREIGN, err);
}

Status gather_skip(Gather *gather, const char *path, const char *reason, Error *err)
{
    if (gather_hidden(path))
        return gather_foreign(gather, path, err);
    gather_note(gather, path, reason);
    return entry_add(gather, path, ENTRY_SKIPPED, err);
}

/* Decodes into the next position of `pixels`; the caller counts it. */
static Status image_take(Gather *gather, const uint8_t *bytes, size_t size, Error *err)
{
    size_t image_bytes = gather_image_bytes(gather);
    uint32_t most = (uint32_t)(FOLDER_PIXELS_BYTES_MAX / image_bytes);
    Image image = { 0 };
    Status s;

    if (most > FOLDER_ENTRIES_MAX)
        most = FOLDER_ENTRIES_MAX;
    if (gather->images == most)
        return error_set(err, STATUS_TOO_LARGE,
                         "data set \"%s\": more than %u images of %ux%u pixels", gather->label,
                         most, gather->image_size, gather->image_size);
    if (!grow(&gather->pixels, gather->images, &gather->image_room, image_bytes, most))
        return no_memory(gather, err);
    s = image_decode(bytes, size, &image, err);
    if (s == STATUS_OK)
        s = image_square(&image, gather->image_size, gather->pixels + gather->images * image_bytes,
                         err);
    image_clear(&image);
    return s;
}

Status gather_file(Gather *gather, const char *path, const uint8_t *bytes, size_t size, Error *err)
{
    Error why = { 0 };
    Status s;

    if (gather_hidden(path) || (size > 0 && image_format(bytes, size) == NULL))
        return gather_foreign(gather, path, err);
    s = image_take(gather, bytes, size, &why);
    if (s == STATUS_INVALID)
        return gather_skip(gather, path, error_message(&why), err);
    if (s != STATUS_OK)
        return error_set(err, s == STATUS_TOO_LARGE ? STATUS_INVALID : s, "%s",
                         error_message(&why));
    s = entry_add(gather, path, ENTRY_IMAGE, err);
    gather->images += s == STATUS_OK;
    return s;
}

/* ---- CIFAR files ---- */

Status gather_cifar(Gather *gather, const char *path, int *ret_fd, Error *err)
{
    const char *slash = strrchr(path, '/');
    CifarFile *file = &gather->cifar[gather->cifar_files];

    if (gather->cifar_files == GATHER_CIFAR_MAX)
        return error_set(err, STATUS_INVALID, "data set \"%s\": more than %d CIFAR files in it",
                         gather->label, GATHER_CIFAR_MAX);
    snprintf(file->name, sizeof file->name, "%s", slash != NULL ? slash + 1 : path);
    for (uint32_t i = 0; i < gather->cifar_files; i++)
        if (strcmp(gather->cifar[i].name, file->name) == 0)
            return error_set(err, STATUS_INVALID, "data set \"%s\": %s is in it twice",
                             gather->label, file->name);
    file->fd = memfd_create(file->name, MFD_CLOEXEC);
    if (file->fd < 0)
        return error_errno(err, STATUS_NO_MEMORY, "data set \"%s\": cannot hold %s", gather->label,
                           file->name);
    gather->cifar_files++;
    *ret_fd = file->fd;
    return STATUS_OK;
}

bool gather_is_cifar(const Gather *gather)
{
    bool records = false;

    for (uint32_t i = 0; i < gather->cifar_files; i++)
        records |= cifar_kind(gather->cifar[i].name) == CIFAR_RECORDS;
    return records && gather->images == 0;
}
