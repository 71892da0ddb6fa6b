/*
 * Routes are a table walked from the top: a dozen rows need no tree. A path that exists under
 * another method is 405 with Allow; the dashboard's files come after the routes. Every way out goes
 * through finish(), which gives the answer its security headers, its id, its log line and its place
 * in the counters.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "server/codec/limits.h"
#include "server/config/log.h"
#include "server/http/parts.h"

void router_init(Router *router, const Route *routes, Api *api, const EmbeddedFile *files)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    memset(router, 0, sizeof *router);
    router->routes = routes;
    router->api = api;
    router->files = files;
    router->boot = (uint64_t)now.tv_sec;
}

/* Where "{name}" ends in a segment of a route's path, [length] bytes; NULL where it is literal. */
static const char *brace_end(const char *pattern, size_t length)
{
    return *pattern == '{' ? memchr(pattern, '}', length) : NULL;
}

/* Equal, or "{name}suffix" with at least one byte for the name. */
static bool match_segment(const char *pattern, size_t length, const char *segment)
{
    const char *brace = brace_end(pattern, length);
    size_t have = strlen(segment), suffix;

    if (brace == NULL)
        return have == length && memcmp(pattern, segment, length) == 0;
    suffix = (size_t)(pattern + length - brace - 1);
    return have > suffix && memcmp(brace + 1, segment + have - suffix, suffix) == 0;
}

static bool match_path(const char *path, const Request *req)
{
    for (uint32_t i = 0; i < req->segments; i++) {
        size_t length;

        if (*path != '/')
            return false;
        length = strcspn(++path, "/");
        if (!match_segment(path, length, req->segment[i]))
            return false;
        path += length;
    }
    return *path == '\0';
}

/* Hands the parameters of a matching route over; a suffix is cut off its segment. */
static void bind_params(const char *path, Request *req)
{
    for (uint32_t i = 0; i < req->segments; i++) {
        size_t length = strcspn(++path, "/");
        const char *brace = brace_end(path, length);

        if (brace != NULL && req->params < REQUEST_PARAMS_MAX) {
            char *segment = req->segment[i];

            segment[strlen(segment) - (size_t)(path + length - brace - 1)] = '\0';
            req->param[req->params++] = (Pair){ path + 1, segment };
        }
        path += length;
    }
}

static Status not_allowed(const Router *router, const Request *req, Response *ret, Error *err)
{
    static const char *const names[METHOD_COUNT] = { "GET, HEAD", "POST", "POST", NULL };
    bool has[METHOD_COUNT] = { false };
    char allow[64] = "";

    for (const Route *r = router->routes; r->path != NULL; r++)
        if (match_path(r->path, req))
            has[r->method] = true;
    if (static_has(router->files, req))
        has[METHOD_GET] = true;
    for (int m = 0; m < METHOD_OTHER; m++)
        if (has[m])
            snprintf(allow + strlen(allow), sizeof allow - strlen(allow), "%s%s",
                     *allow ? ", " : "", names[m]);
    if (*allow == '\0')
        return error_set(err, STATUS_NOT_FOUND, "there is nothing at this path");
    response_header(ret, "Allow", "%s", allow);
    return error_set(err, STATUS_METHOD_NOT_ALLOWED, "this path takes %s", allow);
}

/* The first that matches; NULL. */
static const Route *find_route(const Router *router, const Request *req)
{
    for (const Route *r = router->routes; r->path != NULL; r++) {
        Method method = r->method == METHOD_UPLOAD ? METHOD_POST : r->method;

        if (method == req->method && match_path(r->path, req))
            return r;
    }
    return NULL;
}

static size_t body_bytes(const Route *route)
{
    return route != NULL && route->method == METHOD_UPLOAD ? LIMIT_UPLOAD_BYTES : LIMIT_BODY_BYTES;
}

size_t router_body_bytes(const Router *router, Method method, const char *target)
{
    Request req = { .method = method, .target = target };
    size_t bytes = LIMIT_BODY_BYTES;

    if (request_parse_target(&req, NULL) == STATUS_OK)
        bytes = body_bytes(find_route(router, &req));
    request_clear(&req);
    return bytes;
}

static Status answer(Router *router, Request *req, Response *ret, Error *err)
{
    const Route *route;
    Status s = request_parse_target(req, err);

    if (s == STATUS_OK)
        s = request_check_host(req, err);
    if (s != STATUS_OK)
        return s;
    route = find_route(router, req);
    if (route != NULL) {
        bind_params(route->path, req);
        if (req->body_too_large)
            return error_set(err, STATUS_TOO_LARGE, "the body is larger than %zu bytes",
                             body_bytes(route));
        if (req->body_refused)
            return error_set(err, STATUS_BUSY, "too many large bodies at the same time: try again");
        return route->handler(router->api, req, ret, err);
    }
    if (req->method == METHOD_GET && static_has(router->files, req))
        return static_answer(router->files, req, ret, err);
    return not_allowed(router, req, ret, err);
}

/* What every answer carries. The dashboard's pictures come from here, too, so that 'self' is all it
 * needs. */
static void finish(Router *router, const Request *req, Status status, const Error *err,
                   Response *ret)
{
    static const char *const methods[METHOD_COUNT] = { "GET", "POST", "POST", "other" };

    if (status != STATUS_OK) {
        response_problem(ret, req, status, err);
        log_write(status_level(status), "%s %s: %d %s (%s)", methods[req->method],
                  req->path != NULL ? req->path : "?", ret->code, error_message(err), req->id);
    }
    if (ret->code == 0)
        ret->code = 200;
    response_header(ret, "X-Request-Id", "%s", req->id);
    response_header(ret, "X-Content-Type-Options", "nosniff");
    response_header(ret, "Referrer-Policy", "no-referrer");
    response_header(ret, "Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'");
    atomic_fetch_add_explicit(&router->answers[ret->code % 600], 1, memory_order_relaxed);
}

void router_dispatch(Router *router, Request *req, Response *ret)
{
    Error err = { 0 };
    Status s;

    snprintf(req->id, sizeof req->id, "%08" PRIx64 "-%08" PRIx64, router->boot & 0xffffffff,
             (uint64_t)atomic_fetch_add_explicit(&router->requests, 1, memory_order_relaxed) &
                 0xffffffff);
    s = answer(router, req, ret, &err);
    if (s == STATUS_OK && ret->deferral != NULL)
        return;
    finish(router, req, s, &err, ret);
}

void router_finish(Router *router, const Request *req, Response *ret, bool complete)
{
    Error err = { 0 };
    Response late = { 0 };
    Status s;

    if (complete)
        s = deferral_take(ret->deferral, &late, &err);
    else
        s = error_set(&err, STATUS_BUSY, "the answer took too long to compute; try again later");
    response_clear(ret);
    *ret = late;
    finish(router, req, s, &err, ret);
}
