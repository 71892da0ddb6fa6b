/* The dashboard's files are part of the binary: "/" is index.html, "/assets/NAME" the others. */
#include <string.h>

#include "server/http/parts.h"

static const char *type_of(const char *name)
{
    static const struct {
        const char *ending, *type;
    } types[] = {
        { ".html", "text/html; charset=utf-8" },
        { ".js", "text/javascript; charset=utf-8" },
        { ".css", "text/css; charset=utf-8" },
        { ".svg", "image/svg+xml" },
        { ".png", "image/png" },
        { ".ico", "image/x-icon" },
    };
    const char *dot = strrchr(name, '.');

    for (size_t i = 0; dot != NULL && i < sizeof types / sizeof *types; i++)
        if (strcmp(dot, types[i].ending) == 0)
            return types[i].type;
    return "application/octet-stream";
}

static const EmbeddedFile *find(const EmbeddedFile *files, const Request *req)
{
    const char *name = NULL;

    if (req->segments == 1 &&
        (req->segment[0][0] == '\0' || strcmp(req->segment[0], "index.html") == 0))
        name = "index.html";
    else if (req->segments == 2 && strcmp(req->segment[0], "assets") == 0)
        name = req->segment[1];
    for (; name != NULL && files != NULL && files->name != NULL; files++)
        if (strcmp(files->name, name) == 0)
            return files;
    return NULL;
}

bool static_has(const EmbeddedFile *files, const Request *req)
{
    return find(files, req) != NULL;
}

Status static_answer(const EmbeddedFile *files, const Request *req, Response *ret, Error *err)
{
    const EmbeddedFile *file = find(files, req);

    if (file == NULL)
        return error_set(err, STATUS_NOT_FOUND, "there is nothing at this path");
    response_static(ret, type_of(file->name), file->bytes, file->size);
    response_header(ret, "Cache-Control", "no-cache");
    return STATUS_OK;
}
