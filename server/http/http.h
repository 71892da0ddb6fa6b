/*
 * http -- what a handler sees of HTTP: requests, responses, routes. No libmicrohttpd in sight
 * (server.h has the adapter), so that a test or a fuzzer can call the router.
 *
 * A Request and its Response belong to one call of the router; what a handler needs longer it
 * copies. Every failure leaves the router as a problem document (RFC 9457) made from the handler's
 * Error.
 */
#pragma once

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/embedded.h"
#include "core/base/error.h"
#include "server/codec/bytes.h"

typedef struct Api Api; /* what handlers work on: the folder above defines it */

typedef enum Method {
    METHOD_GET,
    METHOD_POST,
    METHOD_UPLOAD, /* of routes: a POST with a body of up to LIMIT_UPLOAD_BYTES */
    METHOD_OTHER,
    METHOD_COUNT
} Method;

enum {
    REQUEST_SEGMENTS_MAX = 12,
    REQUEST_QUERY_MAX = 24,
    REQUEST_PARAMS_MAX = 3,
    REQUEST_ID_BYTES = 24
};

typedef struct Pair {
    const char *name, *value;
} Pair;

typedef struct Request {
    /* Filled by the adapter (or a test), borrowed for the call; absent headers are NULL. */
    Method method;      /* HEAD is GET: the adapter drops the body */
    const char *target; /* as sent: path and query, still encoded */
    const char *host, *origin, *content_type, *if_none_match, *idempotency_key;
    const char *body;
    size_t body_size;
    bool body_too_large; /* it was longer than the route takes, and is not here */
    bool body_refused;   /* too many large ones at the same time: it is not here */
    /* Filled by the router. */
    char id[REQUEST_ID_BYTES];
    char *path;    /* without the query, still encoded; owned */
    char *decoded; /* what the texts below point into; owned */
    char *segment[REQUEST_SEGMENTS_MAX];
    uint32_t segments;
    Pair query[REQUEST_QUERY_MAX];
    uint32_t queries;
    Pair param[REQUEST_PARAMS_MAX]; /* of the route; a name ends at its "}" */
    uint32_t params;
} Request;

/* The route's parameter `name`; it is a programming error to ask for one that the route has not. */
const char *request_param(const Request *req, const char *name);
/* As a positive integer up to 2^53. STATUS_NOT_FOUND ("no <what> ..."): such an id cannot exist. */
CHECKED Status request_id_param(const Request *req, const char *name, const char *what,
                                int64_t *ret, Error *err);
/* The first value of a query parameter, NULL where absent. */
const char *request_query(const Request *req, const char *name);
/* The body as JSON; the caller owns it. STATUS_MEDIA_TYPE, STATUS_TOO_LARGE, STATUS_MALFORMED. */
CHECKED Status request_json(const Request *req, json_t **ret, Error *err);

enum {
    MULTIPART_PARTS_MAX = 8,
    MULTIPART_NAME_MAX = 64,
    MULTIPART_HEADERS_MAX = 8,
    MULTIPART_HEADER_BYTES = 2048
};

/* One part of a form; points into the request's body. */
typedef struct FormPart {
    char name[MULTIPART_NAME_MAX]; /* letters, digits, "_" and "-" */
    const char *bytes;
    size_t size;
} FormPart;

typedef struct Form {
    FormPart part[MULTIPART_PARTS_MAX]; /* no name comes twice */
    uint32_t parts;
} Form;

/*
 * The body as multipart/form-data (RFC 7578), borrowed from `req`. Strict: nothing before the first
 * boundary or behind the last, every part with a name of its own, at most MULTIPART_HEADERS_MAX
 * headers of MULTIPART_HEADER_BYTES together, no transfer encodings. File names and types are not
 * looked at. STATUS_MEDIA_TYPE; STATUS_MALFORMED says what is wrong.
 */
CHECKED Status request_form(const Request *req, Form *ret, Error *err);
/* NULL: there is none of that name. */
const FormPart *form_part(const Form *form, const char *name);
void request_clear(Request *req);

typedef struct Deferral Deferral;

typedef enum BodyKind { BODY_NONE, BODY_BYTES, BODY_STATIC, BODY_FILE } BodyKind;

enum { RESPONSE_HEADERS_MAX = 16, HEADER_VALUE_MAX = 160 };

typedef struct Header {
    const char *name; /* static */
    char value[HEADER_VALUE_MAX];
} Header;

typedef struct Response {
    int code;                 /* 0: 200 */
    const char *content_type; /* static */
    BodyKind kind;
    Bytes bytes;       /* BODY_BYTES: owned */
    const void *fixed; /* BODY_STATIC: lives as long as the process */
    size_t fixed_size;
    int fd; /* BODY_FILE: owned */
    uint64_t fd_size;
    Header header[RESPONSE_HEADERS_MAX];
    uint32_t headers;
    Deferral *deferral; /* not NULL: the answer comes later */
} Response;

/* Frees body, descriptor and deferral; a zeroed Response is fine. */
void response_clear(Response *ret);
/* `value` is cut at HEADER_VALUE_MAX - 1. */
void response_header(Response *ret, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Takes `json` (also on failure; NULL means out of memory) and makes it the body. STATUS_NO_MEMORY.
 */
CHECKED Status response_json(Response *ret, int code, json_t *json, Error *err);
/* Takes the bytes (and zeroes them). */
void response_bytes(Response *ret, const char *content_type, Bytes *bytes);
/* Bytes that live as long as the process. */
void response_static(Response *ret, const char *content_type, const void *bytes, size_t size);
/* Takes the descriptor. */
void response_file(Response *ret, const char *content_type, int fd, uint64_t size);
/* Makes `ret` a problem document, in place of whatever it held. */
void response_problem(Response *ret, const Request *req, Status status, const Error *err);

/*
 * Deferred answers. A handler that must wait for another thread calls response_defer() and returns
 * STATUS_OK; the other thread calls deferral_complete() exactly once, at any time, even when nobody
 * waits any more.
 */
CHECKED Status response_defer(Response *ret, Deferral **ret_deferral, Error *err);
/* For whoever computes: true where nobody waits for the answer any more. */
bool deferral_abandoned(Deferral *deferral);
/* Takes what `response` holds (and zeroes it). On failure `err` becomes a problem document. Ends
 * the caller's hold on `deferral`. */
void deferral_complete(Deferral *deferral, Status status, const Error *err, Response *response);
/* For whoever waits: calls ready(context) once when complete; true: it is already, and `ready` is
 * not called. */
bool deferral_watch(Deferral *deferral, void (*ready)(void *context), void *context);
/* Waits for at most `ms`; true: complete. */
bool deferral_wait(Deferral *deferral, int ms);
/* Moves the answer out. Complete only. */
Status deferral_take(Deferral *deferral, Response *ret, Error *err);
/* Ends the waiter's hold; `ready` is not called any more. NULL is fine. */
void deferral_release(Deferral *deferral);

typedef Status (*Handler)(Api *api, const Request *req, Response *ret, Error *err);

typedef struct Route {
    Method method;
    const char *path;      /* "/api/v1/jobs/{id}/heatmaps/{image}.png" */
    const char *operation; /* operationId in schema/openapi.json */
    Handler handler;
} Route;

typedef struct Router {
    const Route *routes; /* ended by a NULL path; the first that matches wins */
    Api *api;
    const EmbeddedFile *files; /* answered at "/" (index.html) and "/assets/NAME"; NULL: none */
    atomic_uint_fast64_t answers[600]; /* by HTTP code */
    atomic_uint_fast64_t requests;     /* also the tail of the request's id */
    uint64_t boot;                     /* the head of the request's id */
} Router;

/* `routes`, `api` and `files` are borrowed for the router's life. */
void router_init(Router *router, const Route *routes, Api *api, const EmbeddedFile *files);
/* The longest body that a request for this target may bring. */
size_t router_body_bytes(const Router *router, Method method, const char *target);
/*
 * Parses the target, checks Host and Origin, finds the route, calls its handler. Always leaves a
 * response; where ret->deferral is set it is not there yet: call router_finish() once it is
 * complete (or was given up). Any thread.
 */
void router_dispatch(Router *router, Request *req, Response *ret);
/* Turns a deferred response into the final one; a deferral that is not complete becomes 503. */
void router_finish(Router *router, const Request *req, Response *ret, bool complete);
