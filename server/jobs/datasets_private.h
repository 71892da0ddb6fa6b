/* datasets_private -- what datasets.c (asking) and datasets_reader.c (the thread) share. */
#pragma once

#include <pthread.h>
#include <time.h>

#include "server/jobs/datasets.h"

typedef struct Form {
    uint32_t size;    /* 0: the default */
    uint64_t turn;    /* 0: nobody asks for it; else when it is its turn */
    bool told;        /* the failure */
    time_t failed_at; /* monotonic; 0: it did not */
    char error[ERROR_MESSAGE_MAX];
    Dataset *dataset; /* NULL: not open */
} Form;

/* The default size, the one that pictures were last asked for in, and those of jobs. */
enum { FORM_DEFAULT, FORM_PICTURES, FORM_JOBS, FORMS_MAX = FORM_JOBS + DATASET_FORMS_MAX };

typedef struct Entry {
    char name[DATASET_NAME_MAX];
    char *path;           /* NULL: generated */
    Form form[FORMS_MAX]; /* guarded by the lock */
    uint32_t forms;
} Entry;

typedef struct Watch {
    void (*ready)(void *context);
    void *context;
    struct Watch *next;
} Watch;

struct Datasets {
    size_t count;
    Entry entry[DATASETS_MAX];
    char *cache; /* NULL: none */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t change;     /* of lock: something was asked for, was read, or all ends */
    uint64_t turn, generation; /* guarded by lock, as all below */
    bool reading, stop;
    Watch *watches;
};

/* The registry's thread. */
void *datasets_reader(void *datasets);
/* Whose turn it is, with the lock held; NULL: nobody's. */
Form *datasets_next(Datasets *datasets, Entry **ret_entry);
/* Calls all who left word; the lock is not held. Frees the list. */
void datasets_call(Watch *watches);
/* Of the monotonic clock; never 0. */
time_t datasets_seconds(void);
