/* answers_private -- writing an answer inside the transaction that writes its rows. Private to
 * server/store. */
#pragma once

#include <sqlite3.h>

#include "server/store/answers.h"

typedef enum AnswerOf { ANSWER_JOB, ANSWER_SWEEP } AnswerOf;

/* Its location is <path>/<id>. STATUS_CONFLICT: the key has an answer already. */
CHECKED Status answer_write(sqlite3 *db, const AnswerRequest *request, AnswerOf of, int64_t id,
                            const void *row, Error *err);
