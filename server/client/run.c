/*
 * Following is polling, four times a second at most. A daemon that restarts in between is waited
 * for, because the job goes on there; the first Ctrl-C lets go of the job and says how to end it.
 */
#include "server/client/run.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server/client/progress.h"
#include "server/client/rest.h"
#include "server/codec/bytes.h"
#include "server/codec/limits.h"

enum { POLL_MS = 250, GIVE_UP_MS = 60000, RETRY_MS = 1000, URL_BYTES = 512 };

static volatile sig_atomic_t interrupted;

static void on_interrupt(int number)
{
    interrupted = 1;
}

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void pause_ms(long ms)
{
    const struct timespec rest = { ms / 1000, ms % 1000 * 1000000 };

    (void)nanosleep(&rest, NULL); /* a signal ends it early, as it should */
}

/* The job's file, or standard input for "-". */
static Status read_job(const char *path, Bytes *ret, Error *err)
{
    FILE *in = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");
    Bytes bytes = { .data = malloc(LIMIT_BODY_BYTES + 1) };
    Status s = STATUS_OK;

    if (in == NULL || bytes.data == NULL)
        s = error_errno(err, STATUS_IO, "cannot read %.120s", path);
    else
        bytes.size = fread(bytes.data, 1, LIMIT_BODY_BYTES + 1, in);
    if (s == STATUS_OK && ferror(in))
        s = error_errno(err, STATUS_IO, "cannot read %.120s", path);
    if (s == STATUS_OK && bytes.size > LIMIT_BODY_BYTES)
        s = error_set(err, STATUS_TOO_LARGE, "%.120s is larger than %d bytes", path,
                      LIMIT_BODY_BYTES);
    if (in != NULL && in != stdin)
        fclose(in);
    if (s == STATUS_OK)
        *ret = bytes;
    else
        bytes_clear(&bytes);
    return s;
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text != NULL ? text : "";
}

/* A problem document, every field on a line of its own. */
static void print_problem(long code, const json_t *problem)
{
    const json_t *errors = json_object_get(problem, "errors");

    fprintf(stderr, "leased run: refused (%ld): %s\n", code, text_of(problem, "detail"));
    for (size_t i = 0; i < json_array_size(errors); i++) {
        const json_t *e = json_array_get(errors, i);

        fprintf(stderr, "  %s: %s\n", text_of(e, "pointer"), text_of(e, "detail"));
    }
}

/* Posts the job; a daemon that is busy (reading a large data set) is asked again for a while. */
static Status post_job(Rest *rest, const Bytes *body, long *ret_code, json_t **ret, Error *err)
{
    int64_t began = now_ms();
    bool again = true;
    Status s = STATUS_OK;

    for (int tries = 0; s == STATUS_OK && again; tries++) {
        json_decref(*ret);
        *ret = NULL;
        s = rest_call(rest, "/api/v1/jobs", (char *)body->data, body->size, ret_code, ret, err);
        again = s == STATUS_OK && strcmp(text_of(*ret, "code"), "busy") == 0 &&
                now_ms() - began < GIVE_UP_MS;
        if (again && tries == 0)
            fprintf(stderr, "leased run: %s\n", text_of(*ret, "detail"));
        if (again)
            pause_ms(RETRY_MS);
    }
    return s;
}

/* Submits; 0 and the id, or the exit status. */
static int submit(Rest *rest, const char *path, json_int_t *ret_id)
{
    Error err = { 0 };
    Bytes body = { 0 };
    json_t *answer = NULL;
    long code = 0;
    Status s = read_job(path, &body, &err);

    if (s == STATUS_OK)
        s = post_job(rest, &body, &code, &answer, &err);
    bytes_clear(&body);
    if (s != STATUS_OK)
        fprintf(stderr, "leased run: %s\n", error_message(&err));
    else if (code != 201)
        print_problem(code, answer);
    else
        *ret_id = json_integer_value(json_object_get(answer, "id"));
    json_decref(answer);
    return s == STATUS_OK && code == 201 ? RUN_SUCCEEDED : RUN_REFUSED;
}

typedef struct Outcome {
    const char *state;
    int status;
} Outcome;

/* The row of a final state; NULL while the job may go on. */
static const Outcome *outcome_of(const json_t *job)
{
    static const Outcome outcomes[] = { { "succeeded", RUN_SUCCEEDED },
                                        { "failed", RUN_FAILED },
                                        { "cancelled", RUN_CANCELLED } };

    for (size_t i = 0; i < sizeof outcomes / sizeof *outcomes; i++)
        if (strcmp(text_of(job, "state"), outcomes[i].state) == 0)
            return &outcomes[i];
    return NULL;
}

static void print_end(json_int_t id, const json_t *job)
{
    const json_t *latest = json_object_get(job, "latest");
    const char *reason = text_of(job, "reason"), *key;
    json_t *value;

    printf("job %lld %s%s%s\n", (long long)id, text_of(job, "state"), *reason != '\0' ? ": " : "",
           reason);
    json_object_foreach((json_t *)latest, key, value)
    {
        if (json_is_number(value))
            printf("  %s %.6g\n", key, json_number_value(value));
        else
            printf("  %s %s\n", key, json_is_string(value) ? json_string_value(value) : "?");
    }
}

static int detach(const char *url, json_int_t id)
{
    fprintf(
        stderr,
        "leased run: job %lld goes on without this terminal\n  to look: curl %s/api/v1/jobs/%lld\n"
        "  to end it: curl -X POST %s/api/v1/jobs/%lld/cancel\n",
        (long long)id, url, (long long)id, url, (long long)id);
    return RUN_DETACHED;
}

static int follow(Rest *rest, const char *url, json_int_t id)
{
    Progress progress = progress_start(stdout);
    int64_t answered = now_ms();
    char path[64];

    snprintf(path, sizeof path, "/api/v1/jobs/%lld", (long long)id);
    while (!interrupted) {
        Error err = { 0 };
        json_t *job = NULL;
        long code = 0;
        Status s = rest_call(rest, path, NULL, 0, &code, &job, &err);
        const Outcome *end = s == STATUS_OK && code == 200 ? outcome_of(job) : NULL;

        if (s == STATUS_OK && code == 200) {
            answered = now_ms();
            progress_show(&progress, job, answered);
        }
        if (end != NULL) {
            progress_end(&progress);
            print_end(id, job);
        }
        json_decref(job);
        if (end != NULL)
            return end->status;
        if (code == 404 || now_ms() - answered > GIVE_UP_MS) {
            progress_end(&progress);
            fprintf(stderr, "leased run: lost job %lld: %s\n", (long long)id,
                    code == 404 ? "the daemon does not know it" : error_message(&err));
            return RUN_FAILED;
        }
        if (!interrupted)
            pause_ms(POLL_MS);
    }
    progress_end(&progress);
    return detach(url, id);
}

/* LEASED_URL without slashes at its end, or the default. */
static void daemon_url(char *ret, size_t size)
{
    const char *given = getenv("LEASED_URL");

    snprintf(ret, size, "%s", given != NULL && *given != '\0' ? given : "http://127.0.0.1:8080");
    for (size_t end = strlen(ret); end > 0 && ret[end - 1] == '/'; end--)
        ret[end - 1] = '\0';
}

int client_run(int argc, char **argv)
{
    const struct sigaction action = { .sa_handler = on_interrupt };
    char url[URL_BYTES];
    Rest *rest = NULL;
    Error err = { 0 };
    json_int_t id = 0;
    int status;

    daemon_url(url, sizeof url);
    if (argc != 1 || (argv[0][0] == '-' && argv[0][1] != '\0')) {
        fprintf(stderr,
                "usage: leased run JOB.json   (\"-\": standard input; LEASED_URL: the daemon, now "
                "%s)\n",
                url);
        return RUN_REFUSED;
    }
    if (rest_new(url, &rest, &err) != STATUS_OK) {
        fprintf(stderr, "leased run: %s\n", error_message(&err));
        return RUN_REFUSED;
    }
    status = submit(rest, argv[0], &id);
    if (status == RUN_SUCCEEDED) {
        printf("job %lld: %s/api/v1/jobs/%lld\n", (long long)id, url, (long long)id);
        fflush(stdout);
        sigaction(SIGINT, &action, NULL);
        status = follow(rest, url, id);
    }
    rest_free(rest);
    return status;
}
