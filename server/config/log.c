/* A line is composed in a buffer and written by one write(2): lines of different threads never mix,
 * and no lock is needed. */
#include "server/config/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { LINE_BYTES = 1024 };

void log_write(LogLevel level, const char *format, ...)
{
    static const char *const names[] = { "debug", "info", "warning", "error" };
    char line[LINE_BYTES], whole[32];
    struct timespec now;
    struct tm utc;
    size_t used;
    va_list args;
    ssize_t written;

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    strftime(whole, sizeof whole, "%Y-%m-%dT%H:%M:%S", &utc);
    used = (size_t)snprintf(line, sizeof line, "%s.%03dZ %-7s ", whole,
                            (int)(now.tv_nsec / 1000000), names[level]);
    va_start(args, format);
    used += (size_t)vsnprintf(line + used, sizeof line - used, format, args);
    va_end(args);
    if (used > sizeof line - 2)
        used = sizeof line - 2;
    /* What a client sent may be in the message: no control character may forge a line. */
    for (size_t i = 0; i < used; i++)
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
            line[i] = ' ';
    line[used++] = '\n';
    written = write(STDERR_FILENO, line, used);
    (void)written; /* there is nowhere left to complain */
}
