/* plan -- `leased plan JOB.json`: what a job would need and do, of a daemon that is asked and
 * queues nothing. */
#pragma once

/* The arguments after "plan". The process's exit status: RUN_SUCCEEDED or RUN_REFUSED (run.h). */
int client_plan(int argc, char **argv);
