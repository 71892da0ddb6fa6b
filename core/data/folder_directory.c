/*
 * Listing first, reading afterwards: the list alone says whether the cache still holds. Folders are
 * opened one below the other by descriptor, so that nothing outside can be reached by a link that
 * somebody puts in while this runs.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/data/folder_source.h"
#include "core/data/image_decode.h"

enum { DEPTH_MAX = 16 };

typedef struct Walk {
    Directory *directory;
    const char *label;
    char path[FOLDER_PATH_MAX]; /* of the folder being read, relative */
    Error *err;
} Walk;

void directory_clear(Directory *directory)
{
    if (directory->fd >= 0)
        close(directory->fd);
    free(directory->file);
    free(directory->paths);
    *directory = (Directory){ .fd = -1 };
}

static Status file_keep(Walk *walk, const char *path, const struct stat *st)
{
    Directory *d = walk->directory;
    size_t bytes = strlen(path) + 1;

    if (d->count == FOLDER_ENTRIES_MAX || d->paths_bytes + bytes > FOLDER_PATHS_BYTES_MAX)
        return error_set(walk->err, STATUS_INVALID,
                         "data set \"%s\": more than %d files and folders", walk->label,
                         FOLDER_ENTRIES_MAX);
    if (d->count == d->room) {
        uint32_t room = d->room == 0 ? 256 : d->room * 2;
        DirectoryFile *larger = realloc(d->file, room * sizeof *larger);

        if (larger == NULL)
            return error_set(walk->err, STATUS_NO_MEMORY, "cannot allocate a list of files");
        d->file = larger;
        d->room = room;
    }
    if (d->paths_bytes + bytes > d->paths_room) {
        size_t room = d->paths_room * 2 + bytes + 4096;
        char *larger = realloc(d->paths, room);

        if (larger == NULL)
            return error_set(walk->err, STATUS_NO_MEMORY, "cannot allocate a list of files");
        d->paths = larger;
        d->paths_room = room;
    }
    memcpy(d->paths + d->paths_bytes, path, bytes);
    d->file[d->count++] = (DirectoryFile){ .path = d->paths_bytes,
                                           .size = (uint64_t)st->st_size,
                                           .seconds = st->st_mtim.tv_sec,
                                           .nanoseconds = st->st_mtim.tv_nsec,
                                           .mode = st->st_mode };
    d->paths_bytes += bytes;
    return STATUS_OK;
}

static Status folder_walk(Walk *walk, int fd, int depth);

/* `name` in the folder `fd`, whose path is walk->path; folders are walked down. */
static Status entry_walk(Walk *walk, int fd, const char *name, int depth)
{
    size_t used = strlen(walk->path);
    struct stat st;
    Status s;

    if (used + strlen(name) + 2 > sizeof walk->path || depth > DEPTH_MAX)
        return error_set(walk->err, STATUS_INVALID,
                         "data set \"%s\": folders are nested too deeply at %.100s", walk->label,
                         walk->path);
    if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0 || /* gone since it was listed */
        (S_ISDIR(st.st_mode) && gather_hidden(name)))
        return STATUS_OK;
    snprintf(walk->path + used, sizeof walk->path - used, "%s%s", used > 0 ? "/" : "", name);
    s = file_keep(walk, walk->path, &st);
    if (s == STATUS_OK && S_ISDIR(st.st_mode)) {
        int below = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        s = below >= 0 ? folder_walk(walk, below, depth + 1)
                       : error_errno(walk->err, STATUS_INVALID,
                                     "data set \"%s\": cannot open its folder %.100s", walk->label,
                                     walk->path);
    }
    walk->path[used] = '\0';
    return s;
}

/* Takes over `fd`. */
static Status folder_walk(Walk *walk, int fd, int depth)
{
    DIR *dir = fdopendir(fd);
    Status s = STATUS_OK;

    if (dir == NULL) {
        close(fd);
        return error_errno(walk->err, STATUS_IO, "data set \"%s\": cannot list its directory",
                           walk->label);
    }
    for (struct dirent *entry; s == STATUS_OK && (entry = readdir(dir)) != NULL;)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            s = entry_walk(walk, fd, entry->d_name, depth);
    closedir(dir);
    return s;
}

static int by_path(const void *a, const void *b, void *directory)
{
    const char *paths = ((const Directory *)directory)->paths;

    return strcmp(paths + ((const DirectoryFile *)a)->path,
                  paths + ((const DirectoryFile *)b)->path);
}

Status directory_list(Directory *directory, const char *label, const char *path, Error *err)
{
    Walk walk = { .directory = directory, .label = label, .err = err };
    int copy;
    Status s;

    *directory = (Directory){ .fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
    copy = directory->fd < 0 ? -1 : openat(directory->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (copy < 0)
        return error_errno(err, STATUS_INVALID, "data set \"%s\": cannot open its directory",
                           label);
    s = folder_walk(&walk, copy, 0);
    if (s == STATUS_OK && directory->count > 0)
        qsort_r(directory->file, directory->count, sizeof *directory->file, by_path, directory);
    return s;
}

void directory_fingerprint(const Directory *directory, Fingerprint *fingerprint)
{
    for (uint32_t i = 0; i < directory->count; i++) {
        const DirectoryFile *file = &directory->file[i];
        const char *path = directory->paths + file->path;
        int64_t facts[4] = { (int64_t)file->size, file->seconds, file->nanoseconds, file->mode };

        if (S_ISDIR(file->mode)) /* its size and time belong to the file system */
            facts[0] = facts[1] = facts[2] = 0;
        fingerprint_add(fingerprint, path, strlen(path) + 1);
        fingerprint_add(fingerprint, facts, sizeof facts);
    }
}

/* ---- Reading ---- */

/* Up to `size` bytes; less only at the end of the file. */
static bool read_all(int fd, uint8_t *buffer, size_t size, size_t *ret_size)
{
    size_t got = 0;

    while (got < size) {
        ssize_t n = read(fd, buffer + got, size - got);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        if (n == 0)
            break;
        got += (size_t)n;
    }
    *ret_size = got;
    return true;
}

/* Room for `size` bytes. */
static bool buffer_grow(uint8_t **buffer, size_t *room, size_t size)
{
    uint8_t *larger = size <= *room ? *buffer : realloc(*buffer, size);

    if (larger == NULL)
        return false;
    *buffer = larger;
    *room = size <= *room ? *room : size;
    return true;
}

/* The file at `path` below `folder`. O_NOFOLLOW is about the last part of a path, so each folder on
 * the way is opened by itself. */
static int open_below(int folder, const char *path)
{
    int at = folder, fd = -1;

    for (const char *slash; at >= 0 && (slash = strchr(path, '/')) != NULL; path = slash + 1) {
        char part[FOLDER_PATH_MAX];
        int below;

        snprintf(part, sizeof part, "%.*s", (int)(slash - path), path);
        below = openat(at, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (at != folder)
            close(at);
        at = below;
    }
    if (at >= 0)
        fd = openat(at, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (at >= 0 && at != folder)
        close(at);
    return fd;
}

/* A regular file's bytes -> the gatherer; of files that are no images only the first few. */
static Status file_gather(const Directory *directory, const DirectoryFile *file, uint8_t **buffer,
                          size_t *room, Gather *gather, Error *err)
{
    const char *path = directory->paths + file->path;
    int fd = open_below(directory->fd, path);
    bool small = file->size <= FOLDER_FILE_BYTES_MAX, read;
    size_t size = 0, more = 0;

    if (fd < 0)
        return gather_skip(gather, path, "cannot be opened", err);
    if (!buffer_grow(buffer, room, small ? (size_t)file->size + IMAGE_MAGIC_BYTES : 1 << 16)) {
        close(fd);
        return error_set(err, STATUS_NO_MEMORY, "data set \"%s\": cannot allocate a buffer",
                         gather->label);
    }
    read = read_all(fd, *buffer, IMAGE_MAGIC_BYTES, &size);
    if (read && small && image_format(*buffer, size) != NULL)
        read = read_all(fd, *buffer + size, *room - size, &more);
    close(fd);
    if (!read)
        return gather_skip(gather, path, "cannot be read", err);
    if (!small && image_format(*buffer, size) != NULL)
        return gather_skip(gather, path, "is larger than 64 MiB", err);
    return gather_file(gather, path, *buffer, size + more, err);
}

Status directory_gather(const Directory *directory, Gather *gather, Error *err)
{
    uint8_t *buffer = NULL;
    size_t room = 0;
    Status s = STATUS_OK;

    for (uint32_t i = 0; i < directory->count && s == STATUS_OK; i++) {
        const DirectoryFile *file = &directory->file[i];
        const char *path = directory->paths + file->path;

        if (S_ISREG(file->mode))
            s = file_gather(directory, file, &buffer, &room, gather, err);
        else if (S_ISDIR(file->mode))
            s = gather_folder(gather, path, err);
        else
            s = gather_skip(gather, path, S_ISLNK(file->mode) ? "is a link" : "is no regular file",
                            err);
    }
    free(buffer);
    return s;
}
