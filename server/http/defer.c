/*
 * A Deferral has two holders: who computes (ends with deferral_complete) and who waits (ends with
 * deferral_release). Whoever ends last frees it. So a waiter may give up at any time, and an answer
 * that nobody waits for any more is thrown away.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "server/http/http.h"

struct Deferral {
    pthread_mutex_t lock;
    pthread_cond_t done;
    int holders; /* guarded by lock; as everything below */
    bool complete;
    void (*ready)(void *context);
    void *context;
    Status status;
    Error err;
    Response response;
};

/* Called with the lock held; ends it. */
static void let_go(Deferral *d)
{
    bool last = --d->holders == 0;

    pthread_mutex_unlock(&d->lock);
    if (!last)
        return;
    response_clear(&d->response);
    pthread_cond_destroy(&d->done);
    pthread_mutex_destroy(&d->lock);
    free(d);
}

Status response_defer(Response *ret, Deferral **ret_deferral, Error *err)
{
    Deferral *d = calloc(1, sizeof *d);
    pthread_condattr_t monotonic;

    if (d == NULL)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the request");
    pthread_mutex_init(&d->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&d->done, &monotonic);
    pthread_condattr_destroy(&monotonic);
    d->holders = 2;
    ret->deferral = d;
    *ret_deferral = d;
    return STATUS_OK;
}

bool deferral_abandoned(Deferral *d)
{
    bool abandoned;

    pthread_mutex_lock(&d->lock);
    abandoned = d->holders == 1; /* who asks holds it */
    pthread_mutex_unlock(&d->lock);
    return abandoned;
}

void deferral_complete(Deferral *d, Status status, const Error *err, Response *response)
{
    pthread_mutex_lock(&d->lock);
    d->complete = true;
    d->status = status;
    if (err != NULL)
        d->err = *err;
    if (response != NULL) {
        d->response = *response;
        *response = (Response){ 0 };
    }
    pthread_cond_broadcast(&d->done);
    /* Under the lock, so that after deferral_release() it cannot be called any more. */
    if (d->ready != NULL)
        d->ready(d->context);
    let_go(d);
}

bool deferral_watch(Deferral *d, void (*ready)(void *context), void *context)
{
    bool complete;

    pthread_mutex_lock(&d->lock);
    complete = d->complete;
    if (!complete) {
        d->ready = ready;
        d->context = context;
    }
    pthread_mutex_unlock(&d->lock);
    return complete;
}

bool deferral_wait(Deferral *d, int ms)
{
    struct timespec until;
    bool complete;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += (long)(ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&d->lock);
    while (!d->complete && pthread_cond_timedwait(&d->done, &d->lock, &until) != ETIMEDOUT)
        ;
    complete = d->complete;
    pthread_mutex_unlock(&d->lock);
    return complete;
}

Status deferral_take(Deferral *d, Response *ret, Error *err)
{
    Status status;

    pthread_mutex_lock(&d->lock);
    status = d->status;
    if (err != NULL)
        *err = d->err;
    if (status == STATUS_OK) {
        *ret = d->response;
        d->response = (Response){ 0 };
    }
    pthread_mutex_unlock(&d->lock);
    return status;
}

void deferral_release(Deferral *d)
{
    if (d == NULL)
        return;
    pthread_mutex_lock(&d->lock);
    d->ready = NULL;
    let_go(d);
}
