/*
 * One writer thread, two ways in: a list of closures whose callers wait, and a bounded array of
 * metric points that nobody waits for. Each round takes all points first and the closures after
 * them, so that a closure (a checkpoint's row, say) that commits proves that every point appended
 * before it is durable, too. Points gather for up to GATHER_MS, so that a step costs no fsync of
 * its own. Readers borrow one of READERS read-only connections.
 */
#include "server/store/store_private.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "server/store/folder.h"
#include "server/store/metrics.h"
#include "server/store/migrate.h"
#include "server/store/sql.h"

enum { READERS = 4, GATHER_MS = 100, BUSY_MS = 5000 };

typedef struct WriteRequest {
    StoreBody body;
    void *context;
    Error *err;
    Status status;
    bool done;
    struct WriteRequest *next;
} WriteRequest;

struct Store {
    char *directory;
    int lock_fd;
    int64_t boot;
    sqlite3 *writer_db; /* the writer thread's alone once it runs */
    pthread_t writer;
    bool started;

    pthread_mutex_t lock;
    pthread_cond_t wake, finished;  /* of `lock` */
    WriteRequest *first, **last;    /* guarded by lock */
    PendingPoint *pending;          /* guarded by lock: filled while the writer empties its own */
    PendingPoint *writing;          /* the writer's */
    size_t pending_count, capacity; /* guarded by lock */
    uint64_t dropped;               /* guarded by lock */
    bool stop, hold;                /* guarded by lock */

    pthread_mutex_t read_lock;
    pthread_cond_t read_free; /* of `read_lock` */
    sqlite3 *reader[READERS]; /* guarded by read_lock: the idle ones */
    unsigned readers;         /* guarded by read_lock: how many are idle */
};

int64_t store_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static Status in_transaction(sqlite3 *db, const char *begin, StoreBody body, void *context,
                             Error *err)
{
    Status s = sql_script(db, begin, err);

    if (s != STATUS_OK)
        return s;
    s = body(db, context, err);
    if (s == STATUS_OK)
        s = sql_script(db, "COMMIT", err);
    if (s != STATUS_OK && !sqlite3_get_autocommit(db))
        sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    return s;
}

typedef struct Batch {
    const PendingPoint *points;
    size_t count;
} Batch;

static Status write_batch(sqlite3 *db, void *context, Error *err)
{
    const Batch *batch = context;

    return metric_write(db, batch->points, batch->count, err);
}

/* Waits for work, with `lock` held; takes all there is. */
static WriteRequest *next_round(Store *store, size_t *ret_points)
{
    WriteRequest *requests;

    for (;;) {
        bool points = store->pending_count > 0 && !store->hold;

        if (store->first != NULL || store->stop)
            break;
        if (points) {
            struct timespec until;

            clock_gettime(CLOCK_MONOTONIC, &until);
            until.tv_nsec += GATHER_MS * 1000000L;
            until.tv_sec += until.tv_nsec / 1000000000L;
            until.tv_nsec %= 1000000000L;
            while (store->first == NULL && !store->stop &&
                   store->pending_count < store->capacity / 2)
                if (pthread_cond_timedwait(&store->wake, &store->lock, &until) == ETIMEDOUT)
                    break;
            break;
        }
        pthread_cond_wait(&store->wake, &store->lock);
    }
    requests = store->first;
    store->first = NULL;
    store->last = &store->first;
    *ret_points = 0;
    if (!store->hold || store->stop) {
        PendingPoint *full = store->pending;

        *ret_points = store->pending_count;
        store->pending = store->writing;
        store->writing = full;
        store->pending_count = 0;
    }
    return requests;
}

static void *writer_main(void *argument)
{
    Store *store = argument;

    pthread_setname_np(pthread_self(), "store");
    pthread_mutex_lock(&store->lock);
    for (;;) {
        size_t points, lost = 0;
        WriteRequest *requests = next_round(store, &points);
        bool stop = store->stop && requests == NULL && points == 0;

        pthread_mutex_unlock(&store->lock);
        if (points > 0) {
            Batch batch = { store->writing, points };

            if (in_transaction(store->writer_db, "BEGIN IMMEDIATE", write_batch, &batch, NULL) !=
                STATUS_OK)
                lost = points;
        }
        for (WriteRequest *r = requests; r != NULL; r = r->next)
            r->status =
                in_transaction(store->writer_db, "BEGIN IMMEDIATE", r->body, r->context, r->err);
        pthread_mutex_lock(&store->lock);
        store->dropped += lost;
        for (WriteRequest *r = requests, *next; r != NULL; r = next) {
            next = r->next; /* the caller's stack: gone once `done` is seen */
            r->done = true;
        }
        pthread_cond_broadcast(&store->finished);
        if (stop)
            break;
    }
    pthread_mutex_unlock(&store->lock);
    return NULL;
}

Status store_write(Store *store, StoreBody body, void *context, Error *err)
{
    WriteRequest request = { .body = body, .context = context, .err = err };

    pthread_mutex_lock(&store->lock);
    *store->last = &request;
    store->last = &request.next;
    pthread_cond_signal(&store->wake);
    while (!request.done)
        pthread_cond_wait(&store->finished, &store->lock);
    pthread_mutex_unlock(&store->lock);
    return request.status;
}

Status store_read(Store *store, StoreBody body, void *context, Error *err)
{
    sqlite3 *db;
    Status s;

    pthread_mutex_lock(&store->read_lock);
    while (store->readers == 0)
        pthread_cond_wait(&store->read_free, &store->read_lock);
    db = store->reader[--store->readers];
    pthread_mutex_unlock(&store->read_lock);

    s = in_transaction(db, "BEGIN", body, context, err);

    pthread_mutex_lock(&store->read_lock);
    store->reader[store->readers++] = db;
    pthread_cond_signal(&store->read_free);
    pthread_mutex_unlock(&store->read_lock);
    return s;
}

void store_post(Store *store, const PendingPoint *points, size_t count)
{
    size_t room, fits;

    pthread_mutex_lock(&store->lock);
    room = store->capacity - store->pending_count;
    fits = count < room ? count : room;
    memcpy(store->pending + store->pending_count, points, fits * sizeof *points);
    if (store->pending_count == 0 || store->pending_count + fits >= store->capacity / 2)
        pthread_cond_signal(&store->wake);
    store->pending_count += fits;
    store->dropped += count - fits;
    pthread_mutex_unlock(&store->lock);
}

void store_hold_points(Store *store, bool hold)
{
    pthread_mutex_lock(&store->lock);
    store->hold = hold;
    pthread_cond_signal(&store->wake);
    pthread_mutex_unlock(&store->lock);
}

static Status connect_to(const char *path, int flags, sqlite3 **ret, Error *err)
{
    Status s = STATUS_OK;

    if (sqlite3_open_v2(path, ret, flags | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
        s = *ret == NULL ? error_set(err, STATUS_NO_MEMORY, "cannot allocate a connection")
                         : sql_error(*ret, err, "open the database");
    if (s == STATUS_OK)
        sqlite3_busy_timeout(*ret, BUSY_MS);
    if (s == STATUS_OK)
        s = sql_script(*ret, "PRAGMA foreign_keys = ON", err);
    return s;
}

static Status open_database(Store *store, const EmbeddedFile *migrations, Error *err)
{
    char *path = folder_join(store->directory, "leased.db"),
         *backup = folder_join(store->directory, "backup");
    Status s = STATUS_OK;

    if (path == NULL || backup == NULL)
        s = error_set(err, STATUS_NO_MEMORY, "cannot allocate a path");
    if (s == STATUS_OK)
        s = connect_to(path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, &store->writer_db, err);
    if (s == STATUS_OK)
        s = sql_script(store->writer_db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL",
                       err);
    if (s == STATUS_OK)
        s = migrate(store->writer_db, migrations, backup, err);
    if (s == STATUS_OK)
        s = sql_int(store->writer_db, 0, &store->boot, err,
                    "UPDATE meta SET value = value + 1 WHERE key = 'boot' RETURNING value", "");
    for (int i = 0; i < READERS && s == STATUS_OK; i++) {
        s = connect_to(path, SQLITE_OPEN_READONLY, &store->reader[i], err);
        store->readers++;
    }
    free(path);
    free(backup);
    return s;
}

static Status start_writer(Store *store, size_t queue, Error *err)
{
    store->capacity = queue;
    store->pending = malloc(queue * sizeof *store->pending);
    store->writing = malloc(queue * sizeof *store->writing);
    if (store->pending == NULL || store->writing == NULL)
        return error_set(err, STATUS_NO_MEMORY, "cannot allocate a queue of %zu points", queue);
    errno = pthread_create(&store->writer, NULL, writer_main, store);
    if (errno != 0)
        return error_errno(err, STATUS_INTERNAL, "cannot start the writer thread");
    store->started = true;
    return STATUS_OK;
}

static void init_locks(Store *store)
{
    pthread_condattr_t attributes;

    pthread_mutex_init(&store->lock, NULL);
    pthread_mutex_init(&store->read_lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&store->wake, &attributes);
    pthread_cond_init(&store->finished, &attributes);
    pthread_cond_init(&store->read_free, &attributes);
    pthread_condattr_destroy(&attributes);
}

Status store_open_with(const char *directory, const EmbeddedFile *migrations, size_t queue,
                       Store **ret, Error *err)
{
    Store *store = calloc(1, sizeof *store);
    Status s;

    if (store == NULL)
        return error_set(err, STATUS_NO_MEMORY, "cannot allocate the store");
    store->lock_fd = -1;
    store->last = &store->first;
    init_locks(store);
    store->directory = strdup(directory);
    s = store->directory == NULL ? error_set(err, STATUS_NO_MEMORY, "cannot allocate a path")
                                 : folder_create(directory, err);
    if (s == STATUS_OK)
        s = folder_lock(directory, &store->lock_fd, err);
    if (s == STATUS_OK)
        s = open_database(store, migrations, err);
    if (s == STATUS_OK)
        s = start_writer(store, queue, err);
    if (s != STATUS_OK) {
        store_close(store);
        return s;
    }
    *ret = store;
    return STATUS_OK;
}

Status store_open(const char *directory, Store **ret, Error *err)
{
    return store_open_with(directory, store_migrations, METRIC_QUEUE_MAX, ret, err);
}

void store_close(Store *store)
{
    if (store == NULL)
        return;
    if (store->started) {
        pthread_mutex_lock(&store->lock);
        store->stop = true;
        pthread_cond_signal(&store->wake);
        pthread_mutex_unlock(&store->lock);
        pthread_join(store->writer, NULL);
    }
    for (unsigned i = 0; i < store->readers; i++)
        sqlite3_close(store->reader[i]);
    sqlite3_close(store->writer_db);
    if (store->lock_fd >= 0)
        close(store->lock_fd);
    pthread_cond_destroy(&store->wake);
    pthread_cond_destroy(&store->finished);
    pthread_cond_destroy(&store->read_free);
    pthread_mutex_destroy(&store->lock);
    pthread_mutex_destroy(&store->read_lock);
    free(store->pending);
    free(store->writing);
    free(store->directory);
    free(store);
}

const char *store_directory(const Store *store)
{
    return store->directory;
}

int64_t store_boot(const Store *store)
{
    return store->boot;
}

uint64_t store_dropped(const Store *store)
{
    Store *s = (Store *)store;
    uint64_t dropped;

    pthread_mutex_lock(&s->lock);
    dropped = s->dropped;
    pthread_mutex_unlock(&s->lock);
    return dropped;
}

static Status write_nothing(sqlite3 *db, void *context, Error *err)
{
    (void)db, (void)context, (void)err;
    return STATUS_OK;
}

Status store_metric_flush(Store *store, Error *err)
{
    return store_write(store, write_nothing, NULL, err);
}

static Status ping(sqlite3 *db, void *context, Error *err)
{
    return sql_int(db, 0, context, err, "SELECT count(*) FROM meta", "");
}

Status store_ping(Store *store, Error *err)
{
    int64_t rows;

    return store_read(store, ping, &rows, err);
}

uint64_t store_free_bytes(const Store *store)
{
    struct statvfs fs;

    return statvfs(store->directory, &fs) == 0 ? (uint64_t)fs.f_bavail * fs.f_frsize : 0;
}
