/*
 * answers -- what was answered to requests that carried an Idempotency-Key. An answer is written in
 * the transaction that writes the rows it speaks of: there is one if and only if there are those.
 */
#pragma once

#include "server/store/store.h"

/* A request whose answer is to be remembered; everything is borrowed. */
typedef struct AnswerRequest {
    const char *path;        /* of the resource: "/api/v1/jobs" */
    const char *key;         /* as the client chose it */
    const char *body_sha256; /* of the request, in hex */
    /* The answer's body from the new row (a const Job *, or a const Sweep *), as text to be freed;
     * NULL: out of memory. Called on the writer thread. */
    char *(*body)(const void *row);
} AnswerRequest;

typedef struct Answer {
    char *location, *body; /* owned */
} Answer;

void answer_clear(Answer *answer); /* a zeroed one is fine */

/* Reads: what was answered to it. STATUS_NOT_FOUND: nothing yet. STATUS_INVALID: the key came with
 * another body. */
CHECKED Status store_answer_find(Store *store, const AnswerRequest *request, Answer *ret,
                                 Error *err);
