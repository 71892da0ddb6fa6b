/*
 * libmicrohttpd calls handle() several times a request: once for the headers, once for each part of
 * the body, once at the end; and once more after a suspended connection was resumed. A Call, made
 * with the request line, carries what is known between them.
 *
 * Bodies above what their route takes are read to LIMIT_DISCARD_BYTES and thrown away, because no
 * response may be queued while upload is pending, and a client that is cut off in the middle of its
 * upload never sees the answer. The same is done where the bodies above LIMIT_BODY_BYTES that are
 * here already come to LIMIT_UPLOADS_BYTES.
 *
 * Deferred answers: the connection is suspended and stands in `waiting` until the deferral is
 * complete, its time is up, or the server stops; each of these resumes it, exactly once
 * (`suspended` under the lock says who comes first). Suspended connections never time out in the
 * library, so a timer thread of our own looks at them once a second.
 *
 * Locks: a deferral's lock is taken before ours (its ready callback takes ours), never the other
 * way round.
 */
#include "server/http/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "server/codec/limits.h"
#include "server/config/log.h"

typedef enum CallState { CALL_HEADERS, CALL_BODY, CALL_WAITING } CallState;

typedef struct Call {
    HttpServer *server;
    struct MHD_Connection *connection;
    CallState state;
    char *target;
    Request req;
    Response response;
    Bytes body;
    size_t capacity, seen, limit; /* limit: of the body */
    size_t counted;               /* in server->uploads */
    bool suspended;               /* guarded by server->lock; as everything below */
    bool listed;                  /* stands in server->waiting */
    bool complete;
    int64_t deadline_ms;
    struct Call *next, *previous;
} Call;

struct HttpServer {
    Router *router;
    struct MHD_Daemon *daemon;
    pthread_t timer;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    Call *waiting;     /* guarded by lock; as everything below */
    unsigned deferred; /* in `waiting` */
    unsigned active;   /* calls that exist */
    size_t uploads;    /* bytes set aside for large bodies */
    bool stopping;
};

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void *call_new(void *context, const char *target, struct MHD_Connection *connection)
{
    HttpServer *server = context;
    Call *call = calloc(1, sizeof *call);

    if (call == NULL || (call->target = strdup(target)) == NULL) {
        free(call);
        return NULL;
    }
    call->server = server;
    call->connection = connection;
    pthread_mutex_lock(&server->lock);
    server->active++;
    pthread_mutex_unlock(&server->lock);
    return call;
}

/* Called with the lock held. */
static void list(HttpServer *server, Call *call)
{
    call->listed = true;
    call->next = server->waiting;
    if (server->waiting != NULL)
        server->waiting->previous = call;
    server->waiting = call;
    server->deferred++;
}

/* Called with the lock held. */
static void unlist(HttpServer *server, Call *call)
{
    if (!call->listed)
        return;
    call->listed = false;
    if (call->next != NULL)
        call->next->previous = call->previous;
    if (call->previous != NULL)
        call->previous->next = call->next;
    else
        server->waiting = call->next;
    server->deferred--;
}

/*
 * Also where the client went away while its answer was deferred: the library then ends the request
 * without another handle(), and the call still stands in `waiting`.
 */
static void call_end(void *context, struct MHD_Connection *connection, void **slot,
                     enum MHD_RequestTerminationCode code)
{
    HttpServer *server = context;
    Call *call = *slot;

    if (call == NULL)
        return;
    response_clear(&call->response); /* after this its deferral calls on_ready() no more */
    pthread_mutex_lock(&server->lock);
    unlist(server, call);
    server->uploads -= call->counted;
    pthread_mutex_unlock(&server->lock);
    request_clear(&call->req);
    bytes_clear(&call->body);
    free(call->target);
    free(call);
    *slot = NULL;
    pthread_mutex_lock(&server->lock);
    server->active--;
    if (server->stopping)
        pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->lock);
}

/* Hands the response over; the library owns what it holds from here on. */
static enum MHD_Result send_response(Call *call)
{
    Response *ret = &call->response;
    struct MHD_Response *r = NULL;
    enum MHD_Result result;

    switch (ret->kind) {
    case BODY_NONE:
        r = MHD_create_response_from_buffer(0, (void *)"", MHD_RESPMEM_PERSISTENT);
        break;
    case BODY_BYTES:
        r = MHD_create_response_from_buffer(ret->bytes.size, ret->bytes.data,
                                            MHD_RESPMEM_MUST_FREE);
        if (r != NULL)
            ret->bytes = (Bytes){ 0 };
        break;
    case BODY_STATIC:
        r = MHD_create_response_from_buffer(ret->fixed_size, (void *)(uintptr_t)ret->fixed,
                                            MHD_RESPMEM_PERSISTENT);
        break;
    case BODY_FILE:
        r = MHD_create_response_from_fd64(ret->fd_size, ret->fd);
        if (r != NULL)
            ret->kind = BODY_NONE;
        break;
    }
    if (r == NULL)
        return MHD_NO;
    if (ret->content_type != NULL)
        MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, ret->content_type);
    for (uint32_t i = 0; i < ret->headers; i++)
        MHD_add_response_header(r, ret->header[i].name, ret->header[i].value);
    result = MHD_queue_response(call->connection, (unsigned)ret->code, r);
    MHD_destroy_response(r);
    return result;
}

/* Called with the lock held. */
static void resume(Call *call)
{
    if (!call->suspended)
        return;
    call->suspended = false;
    MHD_resume_connection(call->connection);
}

/* The deferral is complete; on the thread that computed it, or on the connection's own. */
static void on_ready(void *context)
{
    Call *call = context;
    HttpServer *server = call->server;

    pthread_mutex_lock(&server->lock);
    call->complete = true;
    resume(call);
    pthread_mutex_unlock(&server->lock);
}

static enum MHD_Result finish_deferred(Call *call, bool complete)
{
    router_finish(call->server->router, &call->req, &call->response, complete);
    return send_response(call);
}

static enum MHD_Result suspend(Call *call)
{
    HttpServer *server = call->server;
    bool refused;

    pthread_mutex_lock(&server->lock);
    refused = server->stopping || server->deferred >= LIMIT_DEFERRED;
    if (!refused) {
        call->state = CALL_WAITING;
        call->suspended = true;
        call->deadline_ms = now_ms() + LIMIT_DEFERRED_SECONDS * 1000;
        list(server, call);
        MHD_suspend_connection(call->connection);
    }
    pthread_mutex_unlock(&server->lock);
    if (refused)
        return finish_deferred(call, false);
    if (deferral_watch(call->response.deferral, on_ready, call))
        on_ready(call);
    return MHD_YES;
}

static enum MHD_Result resumed(Call *call)
{
    HttpServer *server = call->server;
    bool complete;

    pthread_mutex_lock(&server->lock);
    complete = call->complete;
    unlist(server, call);
    pthread_mutex_unlock(&server->lock);
    return finish_deferred(call, complete);
}

/* Room for `seen` bytes of a body. False: there is none. */
static bool grow_body(Call *call)
{
    HttpServer *server = call->server;
    size_t capacity = call->seen < 4096 ? 4096 : 2 * call->seen, more = 0;
    unsigned char *grown;
    bool refused;

    if (capacity > call->limit)
        capacity = call->limit;
    if (capacity > LIMIT_BODY_BYTES)
        more = capacity - call->counted;
    pthread_mutex_lock(&server->lock);
    refused = more > LIMIT_UPLOADS_BYTES - server->uploads;
    if (!refused)
        server->uploads += more;
    pthread_mutex_unlock(&server->lock);
    if (refused) {
        call->req.body_refused = true;
        return false;
    }
    call->counted += more;
    grown = realloc(call->body.data, capacity);
    if (grown == NULL)
        return false;
    call->body.data = grown;
    call->capacity = capacity;
    return true;
}

/* One part of the body. False: it is beyond what is even thrown away. */
static bool take_body(Call *call, const char *part, size_t size)
{
    call->seen += size;
    if (call->seen > call->limit)
        call->req.body_too_large = true;
    else if (!call->req.body_refused && call->seen > call->capacity && !grow_body(call) &&
             !call->req.body_refused)
        return false;
    if (call->req.body_too_large || call->req.body_refused) {
        bytes_clear(&call->body);
        return call->seen <= LIMIT_DISCARD_BYTES;
    }
    memcpy(call->body.data + call->body.size, part, size);
    call->body.size += size;
    return true;
}

static enum MHD_Result dispatch(Call *call)
{
    struct MHD_Connection *c = call->connection;

    call->req.target = call->target;
    call->req.host = MHD_lookup_connection_value(c, MHD_HEADER_KIND, MHD_HTTP_HEADER_HOST);
    call->req.origin = MHD_lookup_connection_value(c, MHD_HEADER_KIND, MHD_HTTP_HEADER_ORIGIN);
    call->req.content_type =
        MHD_lookup_connection_value(c, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_TYPE);
    call->req.if_none_match =
        MHD_lookup_connection_value(c, MHD_HEADER_KIND, MHD_HTTP_HEADER_IF_NONE_MATCH);
    call->req.idempotency_key = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Idempotency-Key");
    call->req.body = (const char *)call->body.data;
    call->req.body_size = call->body.size;
    router_dispatch(call->server->router, &call->req, &call->response);
    return call->response.deferral != NULL ? suspend(call) : send_response(call);
}

static Method method_of(const char *name)
{
    if (strcmp(name, MHD_HTTP_METHOD_GET) == 0 || strcmp(name, MHD_HTTP_METHOD_HEAD) == 0)
        return METHOD_GET;
    return strcmp(name, MHD_HTTP_METHOD_POST) == 0 ? METHOD_POST : METHOD_OTHER;
}

/* True where Content-Length announces more than would be thrown away. */
static bool announces_too_much(Call *call)
{
    const char *text = MHD_lookup_connection_value(call->connection, MHD_HEADER_KIND,
                                                   MHD_HTTP_HEADER_CONTENT_LENGTH);

    return text != NULL && strtoull(text, NULL, 10) > LIMIT_DISCARD_BYTES;
}

static enum MHD_Result handle(void *context, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *upload,
                              size_t *upload_size, void **slot)
{
    Call *call = *slot;

    if (call == NULL)
        return MHD_NO; /* no memory for it: the connection is closed */
    switch (call->state) {
    case CALL_HEADERS:
        call->state = CALL_BODY;
        call->req.method = method_of(method);
        call->limit = router_body_bytes(call->server->router, call->req.method, call->target);
        if (!announces_too_much(call))
            return MHD_YES;
        call->req.body_too_large = true;
        return dispatch(
            call); /* answered before the body: the library closes the connection afterwards */
    case CALL_BODY:
        if (*upload_size > 0) {
            bool fits = take_body(call, upload, *upload_size);

            *upload_size = 0;
            return fits ? MHD_YES : MHD_NO;
        }
        return dispatch(call);
    case CALL_WAITING:
        return resumed(call);
    }
    return MHD_NO;
}

static void *timer_main(void *context)
{
    HttpServer *server = context;

    pthread_mutex_lock(&server->lock);
    while (!server->stopping) {
        struct timespec until;
        int64_t now = now_ms();

        for (Call *call = server->waiting; call != NULL; call = call->next)
            if (now >= call->deadline_ms)
                resume(call);
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec++;
        pthread_cond_timedwait(&server->changed, &server->lock, &until);
    }
    pthread_mutex_unlock(&server->lock);
    return NULL;
}

static void library_log(void *context, const char *format, va_list args)
{
    char text[256];

    vsnprintf(text, sizeof text, format, args);
    log_write(LOG_DEBUG, "libmicrohttpd: %s", text);
}

/* Bound here and not by the library, so that what is wrong with the address is known by its errno.
 */
Status http_listen(const char *address, uint16_t port, HttpListener *ret, Error *err)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } at = { 0 };
    socklen_t size = sizeof at;
    int fd, on = 1;

    if (inet_pton(AF_INET, address, &at.v4.sin_addr) == 1) {
        at.v4.sin_family = AF_INET;
        at.v4.sin_port = htons(port);
        size = sizeof at.v4;
    } else if (inet_pton(AF_INET6, address, &at.v6.sin6_addr) == 1) {
        at.v6.sin6_family = AF_INET6;
        at.v6.sin6_port = htons(port);
        size = sizeof at.v6;
    } else {
        return error_set(err, STATUS_INVALID, "%s is no IP address", address);
    }
    fd = socket(at.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (fd < 0 || bind(fd, &at.any, size) != 0 || listen(fd, SOMAXCONN) != 0 ||
        getsockname(fd, &at.any, &size) != 0) {
        Status s = error_errno(err, errno == EADDRINUSE ? STATUS_CONFLICT : STATUS_IO,
                               "cannot listen on %s:%u", address, port);

        if (fd >= 0)
            close(fd);
        return s;
    }
    *ret =
        (HttpListener){ fd, ntohs(at.any.sa_family == AF_INET ? at.v4.sin_port : at.v6.sin6_port) };
    return STATUS_OK;
}

static struct MHD_Daemon *start_daemon(HttpServer *server, int fd)
{
    return MHD_start_daemon(
        MHD_USE_AUTO_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL,
        handle, server, MHD_OPTION_EXTERNAL_LOGGER, library_log, NULL, MHD_OPTION_LISTEN_SOCKET, fd,
        MHD_OPTION_THREAD_POOL_SIZE, (unsigned)HTTP_THREADS, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)LIMIT_CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)LIMIT_IDLE_SECONDS,
        MHD_OPTION_URI_LOG_CALLBACK, call_new, server, MHD_OPTION_NOTIFY_COMPLETED, call_end,
        server, MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_END);
}

Status http_start(Router *router, HttpListener listener, HttpServer **ret, Error *err)
{
    HttpServer *server = calloc(1, sizeof *server);
    pthread_condattr_t monotonic;

    if (server == NULL) {
        close(listener.fd);
        return error_set(err, STATUS_NO_MEMORY, "no memory for the HTTP server");
    }
    server->router = router;
    pthread_mutex_init(&server->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&server->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    server->daemon = start_daemon(server, listener.fd);
    if (server->daemon == NULL || pthread_create(&server->timer, NULL, timer_main, server) != 0) {
        if (server->daemon != NULL)
            MHD_stop_daemon(server->daemon);
        else
            close(listener.fd);
        free(server);
        return error_set(err, STATUS_IO, "cannot start the HTTP threads");
    }
    *ret = server;
    return STATUS_OK;
}

void http_stop(HttpServer *server)
{
    struct timespec until;
    int fd = -1;

    if (server == NULL)
        return;
    fd = MHD_quiesce_daemon(server->daemon);
    if (fd >= 0)
        close(fd);
    pthread_mutex_lock(&server->lock);
    server->stopping = true;
    for (Call *call = server->waiting; call != NULL; call = call->next)
        resume(call);
    pthread_cond_broadcast(&server->changed);
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += HTTP_STOP_MS / 1000;
    while (server->active > 0 &&
           pthread_cond_timedwait(&server->changed, &server->lock, &until) != ETIMEDOUT)
        ;
    pthread_mutex_unlock(&server->lock);
    pthread_join(server->timer, NULL);
    MHD_stop_daemon(server->daemon);
    pthread_cond_destroy(&server->changed);
    pthread_mutex_destroy(&server->lock);
    free(server);
}
