/*
 * Answers of the maps' thread over HTTP. Each has a strong ETag, the digest of what it depends on;
 * what a client has already, or memory has, is answered on the spot, everything else when it has
 * been computed. `no-cache`: to be asked about again each time, because the newest checkpoint may
 * be another one.
 */
#include <stdlib.h>

#include "server/api/api.h"

/* What the maps' thread needs to make a Response of its result. */
typedef struct Waiting {
    Deferral *deferral;
    MapsWhat what;
} Waiting;

static bool abandoned(void *context)
{
    const Waiting *waiting = context;

    return deferral_abandoned(waiting->deferral);
}

static void put_cache_headers(Response *ret)
{
    response_header(ret, "Cache-Control", "private, no-cache");
}

/* Body and headers; takes the result's bytes. */
static void fill(Response *ret, MapsWhat what, MapsResult *result)
{
    static const char *const types[] = {
        [MAPS_PNG] = "image/png",           [MAPS_NPY] = "application/octet-stream",
        [MAPS_LAYERS] = "application/json", [MAPS_CONTACT] = "image/png",
        [MAPS_STORED] = "image/png",        [MAPS_FILM] = "image/png",
        [MAPS_SHEET] = "image/png",
    };

    response_bytes(ret, types[what], &result->bytes);
    if (result->checkpoint_sha256[0] != '\0')
        response_header(ret, "Leased-Checkpoint", "%s", result->checkpoint_sha256);
    if (what != MAPS_PNG && what != MAPS_NPY)
        return;
    response_header(ret, "Leased-Class", "%u", result->class_index);
    response_header(ret, "Leased-Predicted", "%u", result->predicted);
    response_header(ret, "Leased-Label", "%u", result->label);
    response_header(ret, "Leased-Score", "%.6g", (double)result->score);
    response_header(ret, "Leased-Empty", "%d", (int)result->empty);
}

static void done(void *context, Status status, const Error *err, MapsResult *result)
{
    Waiting *waiting = context;
    Response response = { 0 };

    if (status == STATUS_OK)
        fill(&response, waiting->what, result);
    if (status == STATUS_OK && result->key[0] != '\0') {
        response_header(&response, "ETag", "\"%s\"", result->key);
        put_cache_headers(&response);
    }
    deferral_complete(waiting->deferral, status, err, &response);
    response_clear(&response);
    free(waiting);
}

Status api_maps_submit(Api *api, MapsRequest *request, Response *ret, Error *err)
{
    Waiting *waiting = malloc(sizeof *waiting);
    Status s;

    if (waiting == NULL)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the request");
    waiting->what = request->what;
    request->abandoned = abandoned;
    s = response_defer(ret, &waiting->deferral, err);
    if (s == STATUS_OK) {
        s = maps_submit(api->maps, request, done, waiting, err);
        if (s == STATUS_OK)
            return s;
        deferral_complete(waiting->deferral, s, NULL, NULL);
    }
    free(waiting);
    return s;
}

Status api_maps_answer(Api *api, const Request *req, MapsRequest *request, Response *ret,
                       Error *err)
{
    char key[SHA256_HEX];
    MapsResult result = { .is_new = false };
    Status s = maps_key(api->maps, request, key, err);

    if (s != STATUS_OK)
        return s;
    put_cache_headers(ret);
    if (api_unchanged(req, key, ret))
        return STATUS_OK;
    if (!maps_cached(api->maps, key, &result))
        return api_maps_submit(api, request, ret, err);
    fill(ret, request->what, &result);
    bytes_clear(&result.bytes);
    return STATUS_OK;
}
