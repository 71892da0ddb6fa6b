/*
 * server -- the daemon's socket: libmicrohttpd behind the router. A few threads of its own parse,
 * read and answer, and never compute.
 *
 * One thread starts and stops it; the router must outlive it.
 */
#pragma once

#include "server/http/http.h"

enum { HTTP_THREADS = 4, HTTP_STOP_MS = 1000 };

typedef struct HttpServer HttpServer;

/* A listening socket, before anything else is started. */
typedef struct HttpListener {
    int fd;
    uint16_t port; /* the one picked where 0 was asked for */
} HttpListener;

/* address: an IPv4 or IPv6 literal; port 0 picks one. STATUS_CONFLICT: the port is in use.
 * STATUS_INVALID, STATUS_IO. */
CHECKED Status http_listen(const char *address, uint16_t port, HttpListener *ret, Error *err);
/* Takes the listener, also on failure. STATUS_IO. SIGPIPE must be ignored. */
CHECKED Status http_start(Router *router, HttpListener listener, HttpServer **ret, Error *err);
/*
 * Stops accepting, answers what is still being computed with 503, gives answers under way
 * HTTP_STOP_MS, closes. NULL is fine.
 */
void http_stop(HttpServer *server);
