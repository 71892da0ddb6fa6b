/* log -- one line to standard error: time, level, message. Any thread; lines never mix. */
#pragma once

#include "core/base/status.h"

void log_write(LogLevel level, const char *format, ...) __attribute__((format(printf, 2, 3)));
