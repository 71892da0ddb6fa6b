/* run -- `leased run JOB.json`: submits a job to the daemon at LEASED_URL, follows it, and answers
 * as it ended. */
#pragma once

enum { RUN_SUCCEEDED = 0, RUN_FAILED = 1, RUN_REFUSED = 2, RUN_CANCELLED = 3, RUN_DETACHED = 130 };

/* argv: [argc] what follows `leased run`. Returns the exit status; messages go to standard error,
 * progress to standard output. */
int client_run(int argc, char **argv);
