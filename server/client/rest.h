/* rest -- one JSON request to the daemon. Not thread-safe. */
#pragma once

#include <jansson.h>
#include <stddef.h>

#include "core/base/error.h"

typedef struct Rest Rest;

/* url: "http://127.0.0.1:8080", borrowed. */
CHECKED Status rest_new(const char *url, Rest **ret, Error *err);
void rest_free(Rest *rest); /* NULL is fine */
/*
 * Sends and waits. path: "/api/v1/jobs". body: NULL for GET, else POST of [size] bytes as JSON.
 * *ret_json is what came back (NULL where that was no JSON); the caller owns it. STATUS_IO: nobody
 * answered; the message names the address.
 */
CHECKED Status rest_call(Rest *rest, const char *path, const char *body, size_t size,
                         long *ret_code, json_t **ret_json, Error *err);
