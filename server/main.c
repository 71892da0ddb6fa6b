/*
 * leased -- subcommands and wiring, nothing else.
 *
 * Start: settings, socket, store, queue, maps, HTTP; what can fail because of the outside comes
 * first, so that nothing runs yet when it does. Then it waits for the data sets to be read, for a
 * while, and says that it is ready; /readyz says so exactly. End: the queue drains while HTTP still
 * answers (and /readyz says so), then everything goes in the reverse order. Signals are blocked in
 * every thread; main waits for them.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/build.h"
#include "core/kernels/kernels.h"
#include "server/api/api.h"
#include "server/client/plan.h"
#include "server/client/run.h"
#include "server/config/config.h"
#include "server/config/log.h"
#include "server/http/server.h"

extern const EmbeddedFile web_files[]; /* the dashboard */

enum { EXIT_USAGE = 2, LOADING_SECONDS = 10, LOOK_MS = 50 };

typedef struct Daemon {
    Datasets *datasets;
    Store *store;
    Queue *queue;
    Maps *maps;
    HttpServer *http;
    Api api;
    Router router;
} Daemon;

static int usage(FILE *out)
{
    fputs("usage: leased serve [SETTING...]   answer HTTP, run jobs\n"
          "       leased run JOB.json         submit a job, follow it, end as it ended\n"
          "       leased plan JOB.json        what it would need and do; queues nothing\n"
          "       leased --version\n"
          "       leased --help\n"
          "settings of serve; the flag wins over the environment, the environment over the file:\n",
          out);
    config_usage(out);
    return out == stderr ? EXIT_USAGE : EXIT_SUCCESS;
}

static Status open_datasets(Daemon *d, const Config *config, Error *err)
{
    char *cache = NULL;

    if (asprintf(&cache, "%s/cache", config->data_dir) < 0)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a path");
    datasets_open_all(d->datasets, cache);
    free(cache);
    return STATUS_OK;
}

static Status start(Daemon *d, const Config *config, HttpListener listener, Error *err)
{
    QueueOptions options = { .datasets = d->datasets,
                             .workers = config->workers,
                             .memory = config->memory,
                             .build = build_id };
    Status s = config_make_parents(config, err);

    if (s == STATUS_OK)
        s = store_open(config->data_dir, &d->store, err);
    options.store = d->store;
    if (s == STATUS_OK)
        s = open_datasets(d, config, err);
    if (s == STATUS_OK)
        s = queue_new(&options, &d->queue, err);
    if (s == STATUS_OK)
        s = maps_new(d->queue, &d->maps, err);
    if (s != STATUS_OK) {
        close(listener.fd);
        return s;
    }
    d->api = (Api){ .queue = d->queue,
                    .maps = d->maps,
                    .router = &d->router,
                    .version = build_version,
                    .build = build_id,
                    .started_ms = store_now_ms() };
    submits_init(&d->api.submits);
    router_init(&d->router, api_routes, &d->api, web_files);
    return http_start(&d->router, listener, &d->http, err);
}

/* False: a job or a reader did not come to a stop in time, and nothing may be taken from under it.
 */
static bool stop(Daemon *d)
{
    Error err = { 0 };

    datasets_stop(d->datasets);
    if (d->queue != NULL && queue_drain(d->queue, &err) != STATUS_OK) {
        log_write(LOG_WARNING, "%s", error_message(&err));
        return false;
    }
    maps_free(d->maps);
    http_stop(d->http);
    if (d->http != NULL)
        submits_clear(&d->api.submits);
    queue_free(d->queue);
    store_close(d->store);
    if (datasets_reading(d->datasets))
        return false;
    datasets_free(d->datasets);
    return true;
}

/* What fails to be read, or takes longer, does not hold up the rest. Returns the signal that came
 * meanwhile, 0: none. */
static int wait_for_datasets(Daemon *d, const sigset_t *signals)
{
    const struct timespec look = { 0, LOOK_MS * 1000000L };
    int signal_number = 0;

    for (int i = 0; i < LOADING_SECONDS * 1000 / LOOK_MS && datasets_loading(d->datasets); i++) {
        signal_number = sigtimedwait(signals, NULL, &look);
        if (signal_number > 0)
            return signal_number;
    }
    return 0;
}

static int serve_until_told(Daemon *d, const Config *config, HttpListener listener,
                            const sigset_t *signals)
{
    Error err = { 0 };
    int signal_number = 0;
    Status s = start(d, config, listener, &err);
    bool early;

    if (s != STATUS_OK) {
        fprintf(stderr, "leased serve: %s (data directory %s)\n", error_message(&err),
                config->data_dir);
        if (!stop(d))
            _exit(EXIT_FAILURE);
        return EXIT_FAILURE;
    }
    signal_number = wait_for_datasets(d, signals);
    early = signal_number > 0;
    printf(strchr(config->address, ':') != NULL ? "listening on http://[%s]:%u\n"
                                                : "listening on http://%s:%u\n",
           config->address, listener.port);
    fflush(stdout);
    log_write(LOG_INFO, "leased %s (%s) serves %s", build_version, build_id, config->data_dir);
    while (!early && sigwait(signals, &signal_number) != 0)
        ;
    log_write(LOG_INFO, "%s: draining", strsignal(signal_number));
    if (!stop(d))
        _exit(EXIT_SUCCESS); /* a job's row is reconciled at the next start */
    log_write(LOG_INFO, "drained");
    return EXIT_SUCCESS;
}

/* The core looks its family up by the setting's own environment variable, wherever it came from.
 * No other thread reads the environment yet. */
static Status use_kernels(const Config *config, Error *err)
{
    const Kernels *kernels;
    Status s = kernels_select(config->kernels, &kernels, err);

    if (s == STATUS_OK && setenv("LEASED_KERNELS", config->kernels, 1) != 0)
        s = error_errno(err, STATUS_NO_MEMORY, "cannot set LEASED_KERNELS");
    return s;
}

static int serve(int argc, char **argv, char **environment)
{
    static Daemon daemon; /* threads look into it until the end */
    Config config;
    Error err = { 0 };
    HttpListener listener;
    sigset_t signals;
    int status = EXIT_USAGE;

    if (config_load(argc, argv, environment, &config, &err) != STATUS_OK) {
        fprintf(stderr, "leased serve: %s\n(leased --help lists the settings)\n",
                error_message(&err));
        return EXIT_USAGE;
    }
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    if (datasets_new((const char *const *)config.datasets, config.dataset_count, &daemon.datasets,
                     &err) != STATUS_OK) {
        fprintf(stderr, "leased serve: --dataset: %s\n", error_message(&err));
    } else if (use_kernels(&config, &err) != STATUS_OK) {
        fprintf(stderr, "leased serve: --kernels: %s\n", error_message(&err));
        datasets_free(daemon.datasets);
    } else if (http_listen(config.address, config.port, &listener, &err) != STATUS_OK) {
        fprintf(stderr, "leased serve: %s\n", error_message(&err));
        datasets_free(daemon.datasets);
        status = EXIT_FAILURE;
    } else {
        status = serve_until_told(&daemon, &config, listener, &signals);
    }
    config_clear(&config);
    return status;
}

/* Whoever starts us may have closed them (a supervisor, cron): a file or a connection that took
 * such a number would get what is printed. */
static void hold_standard_descriptors(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) == -1 && open("/dev/null", O_RDWR) != fd)
            _exit(EXIT_FAILURE);
}

int main(int argc, char **argv, char **environment)
{
    const char *command = argc > 1 ? argv[1] : "";

    hold_standard_descriptors();
    if (strcmp(command, "serve") == 0) {
        for (int i = 2; i < argc; i++)
            if (strcmp(argv[i], "--help") == 0)
                return usage(stdout);
        return serve(argc - 2, argv + 2, environment);
    }
    if (strcmp(command, "run") == 0)
        return client_run(argc - 2, argv + 2);
    if (strcmp(command, "plan") == 0)
        return client_plan(argc - 2, argv + 2);
    if (strcmp(command, "--version") == 0) {
        printf("leased %s (build %s)\n", build_version, build_id);
        return EXIT_SUCCESS;
    }
    if (strcmp(command, "--help") == 0 || strcmp(command, "-h") == 0)
        return usage(stdout);
    if (*command != '\0')
        fprintf(stderr, "leased: unknown command \"%s\"\n", command);
    return usage(stderr);
}
