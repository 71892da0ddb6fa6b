/*
 * submit -- requests that queue something. They may have to wait until a data set is read, and are
 * answered later then; and they may come twice, under one Idempotency-Key.
 *
 * The same key and body get the same answer, byte by byte; another body is STATUS_INVALID; a second
 * request while the first is being worked on is STATUS_CONFLICT. What was refused is not
 * remembered.
 */
#pragma once

#include "server/api/api.h"
#include "server/codec/limits.h"
#include "server/store/answers.h"
#include "server/store/checkpoints.h"

/* Answers; STATUS_BUSY: a data set is being read, and it will be called again. Any thread. */
typedef Status (*SubmitAct)(const Submit *what, Response *ret, Error *err);

struct Submit {
    Api *api;
    json_t *body;
    SubmitAct act;
    Deferral *deferral;            /* NULL: it is answered at once */
    const char *path;              /* of the resource; static; NULL: it queues nothing */
    char key[LIMIT_KEY_BYTES + 1]; /* "": none was sent */
    char digest[SHA256_HEX];       /* of the body, where there is a key */
    bool claimed;                  /* it is in the list of those that are worked on */
    Submit *next;                  /* guarded by api->submits.lock */
};

/* Reads the body and acts. `path` as in Submit. */
CHECKED Status api_submit(Api *api, const Request *req, SubmitAct act, const char *path,
                          Response *ret, Error *err);
/* For an act: what the store is to remember, in *ret; NULL where no key was sent. */
const AnswerRequest *submit_answer(const Submit *what, char *(*body)(const void *row),
                                   AnswerRequest *ret);
/* For an act that has queued under a key: 201 with what the store remembers. */
CHECKED Status submit_replay(const Submit *what, Response *ret, Error *err);
