/* The order is what makes it durable: data to disk, then the name, then the folder that holds the
 * name. */
#include "core/base/durable.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void end(DurableFile *file)
{
    free(file->path);
    free(file->temporary);
    *file = (DurableFile){ 0 };
}

Status durable_open(DurableFile *file, const char *path, Error *err)
{
    DurableFile f = { .path = strdup(path) };
    int fd;

    if (f.path == NULL || asprintf(&f.temporary, "%s.tmp", path) < 0) {
        f.temporary = NULL;
        end(&f);
        return error_set(err, STATUS_NO_MEMORY, "cannot allocate a path");
    }
    fd = open(f.temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd >= 0)
        f.stream = fdopen(fd, "wb");
    if (f.stream == NULL) {
        Status s = error_errno(err, STATUS_IO, "cannot create %s", f.temporary);

        if (fd >= 0)
            close(fd);
        end(&f);
        return s;
    }
    *file = f;
    return STATUS_OK;
}

static Status sync_folder(const char *path, Error *err)
{
    char *copy = strdup(path);
    int fd = copy == NULL ? -1 : open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    Status s = STATUS_OK;

    if (fd < 0 || fsync(fd) != 0)
        s = error_errno(err, STATUS_IO, "cannot sync the folder of %s", path);
    if (fd >= 0)
        close(fd);
    free(copy);
    return s;
}

Status durable_commit(DurableFile *file, Error *err)
{
    Status s = STATUS_OK;

    if (fflush(file->stream) != 0 || fsync(fileno(file->stream)) != 0)
        s = error_errno(err, STATUS_IO, "cannot write %s", file->temporary);
    if (fclose(file->stream) != 0 && s == STATUS_OK)
        s = error_errno(err, STATUS_IO, "cannot close %s", file->temporary);
    file->stream = NULL;
    if (s == STATUS_OK && rename(file->temporary, file->path) != 0)
        s = error_errno(err, STATUS_IO, "cannot rename %s", file->temporary);
    if (s == STATUS_OK)
        s = sync_folder(file->path, err);
    else
        unlink(file->temporary);
    end(file);
    return s;
}

void durable_abort(DurableFile *file)
{
    if (file->path == NULL)
        return;
    if (file->stream != NULL)
        fclose(file->stream);
    unlink(file->temporary);
    end(file);
}
