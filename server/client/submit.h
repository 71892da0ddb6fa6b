/*
 * submit -- what the commands that send a job's file have in common: `leased COMMAND JOB.json`.
 * They explain themselves on standard error. Main thread only.
 */
#pragma once

#include "server/client/rest.h"
#include "server/client/run.h"

enum { CLIENT_URL_BYTES = 512, CLIENT_GIVE_UP_MS = 60000 };

typedef struct Client {
    const char *command;        /* "run" */
    const char *file;           /* "-": standard input */
    char url[CLIENT_URL_BYTES]; /* LEASED_URL without slashes at its end, or the default */
    Rest *rest;
} Client;

/* RUN_SUCCEEDED, and then client_close(); or the exit status, with the usage printed where the
 * arguments are not one file. */
int client_open(const char *command, int argc, char **argv, Client *ret);
void client_close(Client *client);
/* Posts the file to `path`. RUN_SUCCEEDED and the answer, which the caller owns; or RUN_REFUSED. */
int client_post(Client *client, const char *path, json_t **ret);

/* A member that is a text; "" where it is none. */
const char *client_text(const json_t *object, const char *key);
/* Of the monotonic clock. */
int64_t client_now_ms(void);
/* A signal ends it early. */
void client_pause_ms(long ms);
