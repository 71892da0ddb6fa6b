/* progress -- how a followed job is shown: one line that is redrawn on a terminal, plain lines
 * elsewhere. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

typedef struct Progress {
    FILE *out;
    bool terminal;    /* redraw one line */
    int64_t shown_ms; /* when the last plain line was written */
    json_int_t epoch; /* of that line */
    char state[24];
} Progress;

Progress progress_start(FILE *out);
/* Shows a job's JSON where there is something new. */
void progress_show(Progress *progress, const json_t *job, int64_t now_ms);
/* Ends the line, so that other text can follow. */
void progress_end(Progress *progress);
