/* flock() and not fcntl(): the kernel gives it back however the daemon ends, and a second open in
 * the same process is refused, too. */
#include "server/store/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

char *folder_join(const char *folder, const char *name)
{
    char *path;

    return asprintf(&path, "%s/%s", folder, name) < 0 ? NULL : path;
}

/* The new folder's name is on disk, or a checkpoint's row could outlive its folder. */
static Status sync_parent(const char *path, Error *err)
{
    char *copy = strdup(path);
    int fd = copy == NULL ? -1 : open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    Status s = STATUS_OK;

    if (fd < 0 || fsync(fd) != 0)
        s = error_errno(err, STATUS_IO, "cannot sync the folder that holds %s", path);
    if (fd >= 0)
        close(fd);
    free(copy);
    return s;
}

static Status create_one(const char *path, Error *err)
{
    struct stat st;

    if (mkdir(path, 0700) == 0)
        return sync_parent(path, err);
    if (errno != EEXIST)
        return error_errno(err, STATUS_IO, "cannot create the folder %s", path);
    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode))
        return error_set(err, STATUS_IO, "%s is not a folder", path);
    return STATUS_OK;
}

/* A folder that is ours alone is closed to others; one that many share (/tmp) stays as it is. */
static Status close_to_others(const char *path, Error *err)
{
    struct stat st;

    if (stat(path, &st) != 0)
        return error_errno(err, STATUS_IO, "cannot look at the folder %s", path);
    if ((st.st_mode & 077) != 0 && (st.st_mode & S_ISVTX) == 0 && st.st_uid == geteuid() &&
        chmod(path, 0700) != 0)
        return error_errno(err, STATUS_IO, "cannot close the folder %s to others", path);
    return STATUS_OK;
}

Status folder_create(const char *path, Error *err)
{
    char *copy = strdup(path);
    Status s = STATUS_OK;

    if (copy == NULL)
        return error_set(err, STATUS_NO_MEMORY, "cannot allocate a path");
    if (copy[0] == '\0')
        s = error_set(err, STATUS_IO, "the data directory's name is empty");
    for (char *slash = strchr(copy + (copy[0] != '\0'), '/'); slash != NULL && s == STATUS_OK;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        s = create_one(copy, err);
        *slash = '/';
    }
    if (s == STATUS_OK)
        s = create_one(copy, err);
    if (s == STATUS_OK)
        s = close_to_others(copy, err);
    free(copy);
    return s;
}

static Status held_by(const char *path, int fd, Error *err)
{
    char pid[32] = "";
    ssize_t n = pread(fd, pid, sizeof pid - 1, 0);

    if (n > 0)
        pid[strcspn(pid, "\n")] = '\0';
    return error_set(err, STATUS_CONFLICT,
                     "the data directory %s is in use by another daemon (pid %s)", path,
                     n > 0 ? pid : "unknown");
}

Status folder_lock(const char *path, int *ret_fd, Error *err)
{
    char *name = folder_join(path, "lock");
    int fd;
    Status s = STATUS_OK;

    if (name == NULL)
        return error_set(err, STATUS_NO_MEMORY, "cannot allocate a path");
    fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        s = error_errno(err, STATUS_IO, "cannot write to the data directory: %s", name);
    else if (flock(fd, LOCK_EX | LOCK_NB) != 0)
        s = errno == EWOULDBLOCK ? held_by(path, fd, err)
                                 : error_errno(err, STATUS_IO, "cannot lock %s", name);
    else if (ftruncate(fd, 0) != 0 || dprintf(fd, "%ld\n", (long)getpid()) < 0)
        s = error_errno(err, STATUS_IO, "cannot write %s", name);
    free(name);
    if (s != STATUS_OK) {
        if (fd >= 0)
            close(fd);
        return s;
    }
    *ret_fd = fd;
    return STATUS_OK;
}
