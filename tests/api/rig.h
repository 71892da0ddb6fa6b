/*
 * rig -- the whole API without a socket: a store in a folder of its own, a queue without workers,
 * the router.
 */
#pragma once

#include "server/api/api.h"
#include "tests/unit/scratch.h"

typedef struct ApiRig {
    Scratch scratch;
    Datasets *datasets; /* those of the group, or of this rig alone */
    Store *store;
    Queue *queue;
    Maps *maps;
    Api api;
    Router router;
} ApiRig;

/* An answer with its body, as text and, where it is that, as JSON. */
typedef struct Reply {
    int code;
    char *body; /* NUL-terminated */
    size_t size;
    json_t *json;
    Response response; /* headers */
} Reply;

/* For cmocka's group: the data sets are read once for all tests. */
int api_rig_open(void **state);
int api_rig_close(void **state);
/* For cmocka: *state is the rig. */
int api_rig_setup(void **state);
/* With data sets of its own that nobody has read yet. */
int api_rig_setup_unread(void **state);
int api_rig_teardown(void **state);

Reply api_rig_get(ApiRig *rig, const char *target);
/* body NULL: none. */
Reply api_rig_post(ApiRig *rig, const char *target, const char *body);
/* Any request; `req` is borrowed for the call. */
Reply api_rig_send(ApiRig *rig, Request req);
void reply_end(Reply *reply);

/* "" where absent. */
const char *reply_header(const Reply *reply, const char *name);
/* The value at a JSON pointer of the body; NULL where there is none. */
const json_t *reply_at(const Reply *reply, const char *pointer);
const char *reply_text(const Reply *reply, const char *pointer);
/* True where a problem names this field. */
bool reply_names(const Reply *reply, const char *pointer);
/* Fails where the keys of `value` are not those of that schema in the document. */
void assert_keys(ApiRig *rig, const json_t *value, const char *schema);
