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
#include "server/client/submit.h"

enum { POLL_MS = 250 };

static volatile sig_atomic_t interrupted;

static void on_interrupt(int number)
{
    interrupted = 1;
}

typedef struct Outcome {
    const char *state;
    int status;
} Outcome;

/* The row of a final state; NULL while the job may go on. */
static const Outcome *outcome_of(const json_t *job)
{
    static const Outcome outcomes[] = { { "succeeded", RUN_SUCCEEDED },
                                        { "early_stopped", RUN_SUCCEEDED },
                                        { "failed", RUN_FAILED },
                                        { "cancelled", RUN_CANCELLED } };

    for (size_t i = 0; i < sizeof outcomes / sizeof *outcomes; i++)
        if (strcmp(client_text(job, "state"), outcomes[i].state) == 0)
            return &outcomes[i];
    return NULL;
}

static void print_end(json_int_t id, const json_t *job)
{
    const json_t *latest = json_object_get(job, "latest");
    const char *reason = client_text(job, "reason"), *key;
    json_t *value;

    printf("job %lld %s%s%s\n", (long long)id, client_text(job, "state"),
           *reason != '\0' ? ": " : "", reason);
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
    int64_t answered = client_now_ms();
    char path[64];

    snprintf(path, sizeof path, "/api/v1/jobs/%lld", (long long)id);
    while (!interrupted) {
        Error err = { 0 };
        json_t *job = NULL;
        long code = 0;
        Status s = rest_call(rest, path, NULL, 0, &code, &job, &err);
        const Outcome *end = s == STATUS_OK && code == 200 ? outcome_of(job) : NULL;

        if (s == STATUS_OK && code == 200) {
            answered = client_now_ms();
            progress_show(&progress, job, answered);
        }
        if (end != NULL) {
            progress_end(&progress);
            print_end(id, job);
        }
        json_decref(job);
        if (end != NULL)
            return end->status;
        if (code == 404 || client_now_ms() - answered > CLIENT_GIVE_UP_MS) {
            progress_end(&progress);
            fprintf(stderr, "leased run: lost job %lld: %s\n", (long long)id,
                    code == 404 ? "the daemon does not know it" : error_message(&err));
            return RUN_FAILED;
        }
        if (!interrupted)
            client_pause_ms(POLL_MS);
    }
    progress_end(&progress);
    return detach(url, id);
}

int client_run(int argc, char **argv)
{
    const struct sigaction action = { .sa_handler = on_interrupt };
    Client client;
    json_t *job = NULL;
    json_int_t id;
    int status = client_open("run", argc, argv, &client);

    if (status != RUN_SUCCEEDED)
        return status;
    status = client_post(&client, "/api/v1/jobs", &job);
    if (status == RUN_SUCCEEDED) {
        id = json_integer_value(json_object_get(job, "id"));
        printf("job %lld: %s/api/v1/jobs/%lld\n", (long long)id, client.url, (long long)id);
        fflush(stdout);
        sigaction(SIGINT, &action, NULL);
        status = follow(client.rest, client.url, id);
    }
    json_decref(job);
    client_close(&client);
    return status;
}
