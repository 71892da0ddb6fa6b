/* Names tell the parts: "explainer.conv1.weight" is the explainer's "conv1.weight". */
#include "server/jobs/checkpoint_part.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/nn/safetensors.h"

/* What of a file is wanted. */
typedef struct Cut {
    bool weights;        /* without what optimisers keep */
    char prefix[16 + 2]; /* "explainer.": what begins so, without it; "": everything */
} Cut;

/* The name under which it is wanted; NULL: it is not. */
static const char *cut_name(const Cut *cut, const char *name)
{
    static const char *const state[] = { "optimizer.", "alpha." };
    const size_t length = strlen(cut->prefix);

    if (strncmp(name, cut->prefix, length) != 0)
        return NULL;
    for (size_t i = 0; i < sizeof state / sizeof *state && cut->weights; i++)
        if (strncmp(name + length, state[i], strlen(state[i])) == 0)
            return NULL;
    return name + length;
}

/* Writes what is wanted to `out`. */
static Status write_cut(const StFile *file, const Cut *cut, const char *pointer, FILE *out,
                        Error *err)
{
    size_t count = safetensors_count(file), kept = 0, metas = 0;
    size_t all_metas = safetensors_metadata_count(file);
    StTensor *tensors = calloc(count + 1, sizeof *tensors);
    StMeta *meta = calloc(all_metas + 1, sizeof *meta);
    Status s = STATUS_OK;

    if (tensors == NULL || meta == NULL)
        s = error_set(err, STATUS_NO_MEMORY, "no memory for the weights");
    for (size_t i = 0; i < count && s == STATUS_OK; i++) {
        const char *name = cut_name(cut, safetensors_at(file, i)->name);

        if (name == NULL)
            continue;
        tensors[kept] = *safetensors_at(file, i);
        tensors[kept++].name = name;
    }
    for (size_t i = 0; i < all_metas && s == STATUS_OK; i++) {
        const char *key = cut_name(cut, safetensors_metadata_at(file, i).key);

        if (key == NULL)
            continue;
        meta[metas] = safetensors_metadata_at(file, i);
        meta[metas++].key = key;
    }
    if (s == STATUS_OK && kept == 0)
        s = error_at(err, STATUS_INVALID, pointer, "this checkpoint has no part \"%.*s\"",
                     (int)strcspn(cut->prefix, "."), cut->prefix);
    if (s == STATUS_OK)
        s = safetensors_write(out, tensors, kept, meta, metas, err);
    free(tensors);
    free(meta);
    return s;
}

Status checkpoint_cut(const Store *store, const char *path, const char *part, bool weights,
                      const char *pointer, int *ret_fd, Error *err)
{
    int fd = open(store_directory(store), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600),
        copy = fd < 0 ? -1 : dup(fd);
    FILE *out = copy < 0 ? NULL : fdopen(copy, "wb");
    Cut cut = { .weights = weights };
    StFile *file = NULL;
    Status s = STATUS_OK;

    snprintf(cut.prefix, sizeof cut.prefix, "%.16s%s", part, part[0] != '\0' ? "." : "");
    if (out == NULL)
        s = error_errno(err, STATUS_IO, "cannot make a temporary file");
    if (s == STATUS_OK)
        s = safetensors_open(path, &file, err);
    if (s == STATUS_OK)
        s = write_cut(file, &cut, pointer, out, err);
    safetensors_close(file);
    if (out != NULL && fclose(out) != 0 && s == STATUS_OK)
        s = error_errno(err, STATUS_IO, "cannot write a temporary file");
    else if (out == NULL && copy >= 0)
        close(copy);
    if (s == STATUS_OK)
        *ret_fd = fd;
    else if (fd >= 0)
        close(fd);
    return s;
}

Status checkpoint_has_part(const char *path, const char *part, bool *ret, Error *err)
{
    StFile *file = NULL;
    char key[32];
    Status s = safetensors_open(path, &file, err);

    if (s != STATUS_OK)
        return s;
    snprintf(key, sizeof key, "%.16s.format", part);
    *ret = safetensors_metadata(file, key) != NULL;
    safetensors_close(file);
    return STATUS_OK;
}

/* The network of a part, by a file of its own. */
static Status open_part(const Store *store, const char *path, const char *part, Pool *pool,
                        Explainer **ret, Error *err)
{
    char name[40];
    int fd = -1;
    Status s = checkpoint_cut(store, path, part, true, "/model", &fd, err);

    if (s != STATUS_OK)
        return s;
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    s = explainer_open(name, pool, ret, err);
    close(fd);
    return s;
}

Status checkpoint_explainer(const Store *store, const char *path, const char *part, Pool *pool,
                            Explainer **ret, Error *err)
{
    bool two = false;
    Status s = part[0] != '\0' ? STATUS_OK : checkpoint_has_part(path, "explainer", &two, err);

    if (s != STATUS_OK)
        return s;
    return part[0] == '\0' && !two
               ? explainer_open(path, pool, ret, err)
               : open_part(store, path, two ? "explainer" : part, pool, ret, err);
}
