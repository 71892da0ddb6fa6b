/* What a line says is composed once, for terminals and for logs; a bar is put in front where there
 * is a terminal. */
#include "server/client/progress.h"

#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { BAR_MIN = 5, BAR_MAX = 20, FRAME = 4, COLUMNS = 80, PLAIN_MS = 5000, LINE_BYTES = 256 };

Progress progress_start(FILE *out)
{
    return (Progress){ .out = out, .terminal = isatty(fileno(out)) != 0, .epoch = -1 };
}

typedef struct Line {
    char text[LINE_BYTES];
    size_t used;
} Line;

static void line_add(Line *line, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void line_add(Line *line, const char *format, ...)
{
    va_list args;
    int wrote;

    va_start(args, format);
    wrote = vsnprintf(line->text + line->used, sizeof line->text - line->used, format, args);
    va_end(args);
    line->used += (size_t)wrote;
    if (line->used >= sizeof line->text)
        line->used = sizeof line->text - 1;
}

/* The first of the keys that the job has; NULL where it has none. */
static const json_t *metric(const json_t *job, const char *const *keys)
{
    const json_t *latest = json_object_get(job, "latest"), *value = NULL;

    for (; *keys != NULL && value == NULL; keys++)
        value = json_object_get(latest, *keys);
    return value;
}

/* "  loss 1.204". */
static void add_metric(Line *line, const json_t *job, const char *label, const char *const *keys)
{
    const json_t *value = metric(job, keys);

    if (json_is_string(value))
        line_add(line, "  %s %.12s", label, json_string_value(value)); /* "NaN" */
    else if (json_is_number(value))
        line_add(line, "  %s %.3f", label, json_number_value(value));
}

static void add_time(Line *line, const json_t *eta)
{
    long seconds = (long)json_number_value(eta);

    if (!json_is_number(eta) || json_number_value(eta) <= 0)
        return;
    if (seconds >= 3600)
        line_add(line, "  %ld:%02ld:%02ld left", seconds / 3600, seconds / 60 % 60, seconds % 60);
    else
        line_add(line, "  %ld:%02ld left", seconds / 60, seconds % 60);
}

static json_int_t number(const json_t *object, const char *key)
{
    return (json_int_t)json_number_value(json_object_get(object, key));
}

static Line compose(const json_t *job)
{
    static const char *const loss[] = { "train/loss", "test/loss", NULL };
    static const char *const accuracy[] = { "test/accuracy", "val/accuracy", "train/accuracy",
                                            NULL };
    static const char *const speed[] = { "throughput/images_per_second", NULL };
    const json_t *p = json_object_get(job, "progress");
    const char *state = json_string_value(json_object_get(job, "state"));
    Line line = { 0 };

    if (state != NULL && strcmp(state, "running") != 0)
        line_add(&line, "%.20s  ", state);
    if (number(p, "steps") > 0)
        line_add(&line, "epoch %lld/%lld  step %lld/%lld", (long long)number(p, "epoch"),
                 (long long)number(p, "epochs"), (long long)number(p, "step"),
                 (long long)number(p, "steps"));
    add_metric(&line, job, "loss", loss);
    add_metric(&line, job, "acc", accuracy);
    if (json_is_number(metric(job, speed)))
        line_add(&line, "  %.0f images/s", json_number_value(metric(job, speed)));
    add_time(&line, json_object_get(p, "eta_seconds"));
    return line;
}

static int columns(FILE *out)
{
    struct winsize size;

    return ioctl(fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : COLUMNS;
}

/* Never wider than the terminal, because a line that wraps could not be redrawn: the bar takes what
 * the text leaves. */
static void draw(Progress *progress, const json_t *job, const Line *line)
{
    const json_t *p = json_object_get(job, "progress");
    json_int_t steps = number(p, "steps"), step = number(p, "step");
    int width = columns(progress->out) - 1, cells = width - FRAME - (int)line->used;
    char bar[BAR_MAX + 1] = "";

    cells = cells < BAR_MIN ? 0 : cells > BAR_MAX ? BAR_MAX : cells;
    for (int i = 0; i < cells; i++)
        bar[i] = steps > 0 && i < cells * step / steps ? '#' : '.';
    bar[cells] = '\0';
    if (cells > 0)
        fprintf(progress->out, "\r[%s] %s\033[K", bar, line->text);
    else
        fprintf(progress->out, "\r%.*s\033[K", width, line->text);
    fflush(progress->out);
}

void progress_show(Progress *progress, const json_t *job, int64_t now_ms)
{
    const char *state = json_string_value(json_object_get(job, "state"));
    json_int_t epoch = number(json_object_get(job, "progress"), "epoch");
    Line line = compose(job);

    if (progress->terminal) {
        draw(progress, job, &line);
        return;
    }
    if (state == NULL)
        state = "?";
    if (epoch == progress->epoch && strcmp(state, progress->state) == 0 &&
        now_ms - progress->shown_ms < PLAIN_MS)
        return;
    fprintf(progress->out, "%s\n", line.text);
    fflush(progress->out);
    progress->shown_ms = now_ms;
    progress->epoch = epoch;
    snprintf(progress->state, sizeof progress->state, "%s", state);
}

void progress_end(Progress *progress)
{
    if (progress->terminal)
        fputc('\n', progress->out);
}
