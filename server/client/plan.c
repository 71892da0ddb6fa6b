/* A daemon knows the data sets, and it is its machine that the job would run on. */
#include "server/client/plan.h"

#include <stdio.h>

#include "server/client/submit.h"

static double number(const json_t *answer, const char *key)
{
    return json_number_value(json_object_get(answer, key));
}

static void print(const json_t *answer)
{
    printf("%.0f steps in %.0f epochs, %.1f MB of memory, %.1f GFLOP", number(answer, "steps"),
           number(answer, "epochs"), number(answer, "memory_bytes") / 1e6,
           number(answer, "flops") / 1e9);
    if (json_is_number(json_object_get(answer, "estimated_seconds")))
        printf(", %.0f s at the pace of the last job", number(answer, "estimated_seconds"));
    printf("\n\none step:\n%s", client_text(answer, "plan"));
}

int client_plan(int argc, char **argv)
{
    Client client;
    json_t *answer = NULL;
    int status = client_open("plan", argc, argv, &client);

    if (status != RUN_SUCCEEDED)
        return status;
    status = client_post(&client, "/api/v1/jobs?dry_run=1&plan=1", &answer);
    if (status == RUN_SUCCEEDED)
        print(answer);
    json_decref(answer);
    client_close(&client);
    return status;
}
