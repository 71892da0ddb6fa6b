/*
 * That a key is used once is the store's doing: the answer is a row beside the rows it speaks of.
 * The list of requests that are being worked on only says earlier, and in better words, what the
 * store would find out at the end.
 */
#include "server/api/submit.h"

#include <stdlib.h>
#include <string.h>

void submits_init(Submits *submits)
{
    *submits = (Submits){ 0 };
    pthread_mutex_init(&submits->lock, NULL);
}

void submits_clear(Submits *submits)
{
    pthread_mutex_destroy(&submits->lock);
}

/* ---- once ---- */

const AnswerRequest *submit_answer(const Submit *what, char *(*body)(const void *row),
                                   AnswerRequest *ret)
{
    if (what->key[0] == '\0')
        return NULL;
    *ret = (AnswerRequest){
        .path = what->path, .key = what->key, .body_sha256 = what->digest, .body = body
    };
    return ret;
}

Status submit_replay(const Submit *what, Response *ret, Error *err)
{
    AnswerRequest request;
    Answer answer = { 0 };
    Bytes bytes;
    Status s = store_answer_find(queue_store(what->api->queue), submit_answer(what, NULL, &request),
                                 &answer, err);

    if (s != STATUS_OK)
        return s;
    bytes = (Bytes){ (unsigned char *)answer.body, strlen(answer.body) };
    answer.body = NULL;
    response_bytes(ret, "application/json", &bytes);
    ret->code = 201;
    response_header(ret, "Location", "%s", answer.location);
    answer_clear(&answer);
    return STATUS_OK;
}

static Status read_key(Submit *what, const Request *req, Error *err)
{
    const char *key = req->idempotency_key;
    size_t length = strlen(key);

    for (const char *c = key; *c != '\0'; c++)
        if (*c <= 0x20 || *c >= 0x7f)
            length = 0;
    if (length < 1 || length > LIMIT_KEY_BYTES)
        return error_set(err, STATUS_INVALID,
                         "Idempotency-Key must be 1 to %d printable ASCII characters",
                         LIMIT_KEY_BYTES);
    memcpy(what->key, key, length + 1);
    return sha256_bytes(req->body != NULL ? req->body : "", req->body_size, what->digest, err);
}

/* Enters it among those that are worked on. */
static Status claim(Submit *what, Error *err)
{
    Submits *submits = &what->api->submits;
    const Submit *other;

    pthread_mutex_lock(&submits->lock);
    for (other = submits->first; other != NULL; other = other->next)
        if (strcmp(other->path, what->path) == 0 && strcmp(other->key, what->key) == 0)
            break;
    if (other == NULL) {
        what->next = submits->first;
        submits->first = what;
        what->claimed = true;
    }
    pthread_mutex_unlock(&submits->lock);
    return what->claimed ? STATUS_OK
                         : error_set(err, STATUS_CONFLICT,
                                     "a request with this Idempotency-Key is being worked on");
}

static void end(Submit *what)
{
    Submits *submits = &what->api->submits;

    if (what->claimed) {
        pthread_mutex_lock(&submits->lock);
        for (Submit **at = &submits->first; *at != NULL; at = &(*at)->next)
            if (*at == what) {
                *at = what->next;
                break;
            }
        pthread_mutex_unlock(&submits->lock);
    }
    json_decref(what->body);
    free(what);
}

/* Answers it where it was answered before. */
static Status begin_once(Submit *what, const Request *req, Response *ret, bool *ret_answered,
                         Error *err)
{
    Error why = { 0 };
    Status s = read_key(what, req, err);

    if (s == STATUS_OK)
        s = claim(what, err);
    if (s != STATUS_OK)
        return s;
    s = submit_replay(what, ret, &why);
    *ret_answered = s == STATUS_OK;
    return s == STATUS_OK || s == STATUS_NOT_FOUND ? STATUS_OK
                                                   : error_set(err, s, "%s", error_message(&why));
}

/* ---- later ---- */

static void go_on(void *context);

/* Acts, or leaves word to be called again: true, and nothing is answered yet. */
static bool act_or_wait(Submit *what, Response *ret, Status *ret_status, Error *err)
{
    Datasets *datasets = queue_datasets(what->api->queue);

    for (;;) {
        uint64_t generation = datasets_generation(datasets);

        *ret_status = what->act(what, ret, err);
        if (*ret_status != STATUS_BUSY)
            return false;
        if (datasets_watch(datasets, generation, go_on, what))
            return true;
        if (generation == datasets_generation(datasets))
            return false; /* busy with something else */
        error_clear(err);
    }
}

/* On the data sets' thread, but for the first time. Whoever has gone meanwhile was told to try
 * again, and gets nothing queued. */
static void go_on(void *context)
{
    Submit *what = context;
    Deferral *deferral = what->deferral;
    Response response = { 0 };
    Error err = { 0 };
    Status s = STATUS_STOPPED;

    if (!deferral_abandoned(deferral) && act_or_wait(what, &response, &s, &err))
        return;
    end(what); /* first: whoever has the answer may send the key again */
    deferral_complete(deferral, s, &err, &response);
    response_clear(&response);
}

/* Takes `what`. */
static Status answer_later(Submit *what, Response *ret, Error *err)
{
    Status s = response_defer(ret, &what->deferral, err);

    if (s == STATUS_OK)
        go_on(what);
    else
        end(what);
    return s;
}

/* Takes `what`. */
static Status answer_now(Submit *what, Response *ret, Error *err)
{
    Datasets *datasets = queue_datasets(what->api->queue);
    uint64_t generation = datasets_generation(datasets);
    Error why = { 0 };
    Status s = what->act(what, ret, &why);

    /* A set that fails at once has been read by now. */
    if (s == STATUS_BUSY &&
        (datasets_loading(datasets) || datasets_generation(datasets) != generation))
        return answer_later(what, ret, err);
    if (s != STATUS_OK && err != NULL)
        *err = why;
    end(what);
    return s;
}

Status api_submit(Api *api, const Request *req, SubmitAct act, const char *path, Response *ret,
                  Error *err)
{
    Submit *what = calloc(1, sizeof *what);
    bool answered = false;
    Status s;

    if (what == NULL)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the request");
    *what = (Submit){ .api = api, .act = act, .path = path };
    s = request_json(req, &what->body, err);
    if (s == STATUS_OK && path != NULL && req->idempotency_key != NULL)
        s = begin_once(what, req, ret, &answered, err);
    if (s == STATUS_OK && !answered)
        return answer_now(what, ret, err);
    end(what);
    return s;
}
