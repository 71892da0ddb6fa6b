/* A daemon that is busy (reading a large data set) is asked again for a while. */
#include "server/client/submit.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server/codec/bytes.h"
#include "server/codec/limits.h"

enum { RETRY_MS = 1000 };

int64_t client_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void client_pause_ms(long ms)
{
    const struct timespec rest = { ms / 1000, ms % 1000 * 1000000 };

    (void)nanosleep(&rest, NULL);
}

const char *client_text(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text != NULL ? text : "";
}

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

/* A problem document, every field on a line of its own. */
static void print_problem(const Client *client, long code, const json_t *problem)
{
    const json_t *errors = json_object_get(problem, "errors");

    fprintf(stderr, "leased %s: refused (%ld): %s\n", client->command, code,
            client_text(problem, "detail"));
    for (size_t i = 0; i < json_array_size(errors); i++) {
        const json_t *e = json_array_get(errors, i);

        fprintf(stderr, "  %s: %s\n", client_text(e, "pointer"), client_text(e, "detail"));
    }
}

static Status post(Client *client, const char *path, const Bytes *body, long *ret_code,
                   json_t **ret, Error *err)
{
    int64_t began = client_now_ms();
    bool again = true;
    Status s = STATUS_OK;

    for (int tries = 0; s == STATUS_OK && again; tries++) {
        json_decref(*ret);
        *ret = NULL;
        s = rest_call(client->rest, path, (char *)body->data, body->size, ret_code, ret, err);
        again = s == STATUS_OK && strcmp(client_text(*ret, "code"), "busy") == 0 &&
                client_now_ms() - began < CLIENT_GIVE_UP_MS;
        if (again && tries == 0)
            fprintf(stderr, "leased %s: %s\n", client->command, client_text(*ret, "detail"));
        if (again)
            client_pause_ms(RETRY_MS);
    }
    return s;
}

int client_post(Client *client, const char *path, json_t **ret)
{
    Error err = { 0 };
    Bytes body = { 0 };
    json_t *answer = NULL;
    long code = 0;
    Status s = read_job(client->file, &body, &err);

    if (s == STATUS_OK)
        s = post(client, path, &body, &code, &answer, &err);
    bytes_clear(&body);
    if (s == STATUS_OK && code / 100 == 2) {
        *ret = answer;
        return RUN_SUCCEEDED;
    }
    if (s != STATUS_OK)
        fprintf(stderr, "leased %s: %s\n", client->command, error_message(&err));
    else
        print_problem(client, code, answer);
    json_decref(answer);
    return RUN_REFUSED;
}

static void daemon_url(char *ret, size_t size)
{
    const char *given = getenv("LEASED_URL");

    snprintf(ret, size, "%s", given != NULL && *given != '\0' ? given : "http://127.0.0.1:8080");
    for (size_t end = strlen(ret); end > 0 && ret[end - 1] == '/'; end--)
        ret[end - 1] = '\0';
}

int client_open(const char *command, int argc, char **argv, Client *ret)
{
    Error err = { 0 };

    *ret = (Client){ .command = command };
    daemon_url(ret->url, sizeof ret->url);
    if (argc != 1 || (argv[0][0] == '-' && argv[0][1] != '\0')) {
        fprintf(stderr,
                "usage: leased %s JOB.json   (\"-\": standard input; LEASED_URL: the daemon, now "
                "%s)\n",
                command, ret->url);
        return RUN_REFUSED;
    }
    ret->file = argv[0];
    if (rest_new(ret->url, &ret->rest, &err) != STATUS_OK) {
        fprintf(stderr, "leased %s: %s\n", command, error_message(&err));
        return RUN_REFUSED;
    }
    return RUN_SUCCEEDED;
}

void client_close(Client *client)
{
    rest_free(client->rest);
    client->rest = NULL;
}
