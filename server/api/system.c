/* The daemon about itself: what it is and runs on, whether it is well, and its counters. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/parallel.h"
#include "core/kernels/kernels.h"
#include "core/nn/network.h"
#include "server/api/api.h"
#include "server/codec/json.h"
#include "server/codec/limits.h"
#include "server/jobs/run.h"

extern const EmbeddedFile openapi_files[]; /* schema/openapi.json */

enum { LINE_BYTES = 256 };

/* The CPU's name as the kernel prints it; "unknown" where it prints none. */
static void cpu_model(char *ret, size_t size)
{
    FILE *in = fopen("/proc/cpuinfo", "r");
    char line[LINE_BYTES];

    snprintf(ret, size, "unknown");
    while (in != NULL && fgets(line, sizeof line, in) != NULL) {
        char *colon = strchr(line, ':');

        if (strncmp(line, "model name", 10) != 0 || colon == NULL)
            continue;
        line[strcspn(line, "\n")] = '\0';
        snprintf(ret, size, "%s", colon + 1 + strspn(colon + 1, " "));
        break;
    }
    if (in != NULL)
        fclose(in);
}

/* The table's, and what one job may plan. */
static json_t *limits_json(uint64_t memory)
{
    static const struct {
        const char *name;
        json_int_t value;
    } limits[] = {
#define X(symbol, name, value, help) { name, value },
        LIMITS_TABLE(X)
#undef X
    };
    json_t *out = json_object();

    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        (void)json_object_set_new(out, limits[i].name, json_integer(limits[i].value));
    (void)json_object_set_new(out, "memory_bytes", json_integer((json_int_t)memory));
    return out;
}

static double uptime_seconds(const Api *api)
{
    return (double)(store_now_ms() - api->started_ms) / 1000;
}

/* GET /api/v1/system */
Status api_system_get(Api *api, const Request *req, Response *ret, Error *err)
{
    Store *store = queue_store(api->queue);
    char cpu[LINE_BYTES];
    json_t *out;

    cpu_model(cpu, sizeof cpu);
    out = json_pack(
        "{ss ss si s{so si ss ss} s{sI sI} so sf so sb}", "version", api->version, "build",
        api->build, "format_version", NETWORK_FORMAT_VERSION, "cpu", "model", json_text(cpu),
        "cores", (int)pool_default_threads(), "kernels", run_kernels(), "blas", gemm_core_name(),
        "storage", "free_bytes", (json_int_t)store_free_bytes(store), "dropped_points",
        (json_int_t)store_dropped(store), "started_at", json_time_ms(api->started_ms),
        "uptime_seconds", uptime_seconds(api), "limits", limits_json(queue_memory(api->queue)),
        "draining", (int)queue_draining(api->queue));
    return response_json(ret, 200, out, err);
}

/* GET /api/v1/openapi.json */
Status api_openapi_get(Api *api, const Request *req, Response *ret, Error *err)
{
    response_static(ret, "application/json", openapi_files[0].bytes, openapi_files[0].size);
    return STATUS_OK;
}

static Status ok(Response *ret)
{
    static const char text[] = "ok\n";

    response_static(ret, "text/plain; charset=utf-8", text, sizeof text - 1);
    return STATUS_OK;
}

/* GET /livez -- this process answers. */
Status api_livez(Api *api, const Request *req, Response *ret, Error *err)
{
    return ok(ret);
}

/* Some set is not there yet. (In another size than its own: that concerns one job alone.) */
static bool loading(Datasets *datasets)
{
    for (size_t i = 0; datasets_name(datasets, i) != NULL; i++)
        if (datasets_look(datasets, i).loading)
            return true;
    return false;
}

/* GET /readyz -- it would also take a job. */
Status api_readyz(Api *api, const Request *req, Response *ret, Error *err)
{
    Store *store = queue_store(api->queue);
    Status s;

    if (queue_draining(api->queue))
        return error_set(err, STATUS_STOPPED,
                         "draining: running jobs write their checkpoints, then the daemon ends");
    if (loading(queue_datasets(api->queue)))
        return error_set(err, STATUS_BUSY, "loading: data sets are being read");
    s = store_ping(store, err);
    if (s == STATUS_OK && store_free_bytes(store) < LIMIT_READY_FREE_BYTES)
        s = error_set(err, STATUS_BUSY, "less than %d bytes are free on the data directory's disk",
                      LIMIT_READY_FREE_BYTES);
    return s == STATUS_OK ? ok(ret) : s;
}

static uint64_t resident_bytes(void)
{
    FILE *in = fopen("/proc/self/statm", "r");
    uint64_t size = 0, resident = 0;

    if (in != NULL && fscanf(in, "%" SCNu64 " %" SCNu64, &size, &resident) != 2)
        resident = 0;
    if (in != NULL)
        fclose(in);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* One of the pictures' counters. */
static void print_pictures(FILE *out, const char *name, const char *type, const char *help,
                           uint64_t value)
{
    fprintf(out, "# HELP leased_%s %s\n# TYPE leased_%s %s\nleased_%s %" PRIu64 "\n", name, help,
            name, type, name, value);
}

static void print_maps(Api *api, FILE *out)
{
    MapsCounts counts = maps_counts(api->maps);

    print_pictures(out, "pictures_cached_total", "counter", "Pictures answered from memory.",
                   counts.cached);
    print_pictures(out, "pictures_computed_total", "counter", "Pictures computed.",
                   counts.computed);
    print_pictures(out, "pictures", "gauge", "Pictures in memory.", counts.entries);
    print_pictures(out, "pictures_bytes", "gauge", "Memory of these.", counts.bytes);
}

static void print_metrics(Api *api, const uint64_t jobs[JOB_STATE_COUNT], FILE *out)
{
    fputs("# HELP leased_jobs Jobs by state.\n# TYPE leased_jobs gauge\n", out);
    for (int i = 0; i < JOB_STATE_COUNT; i++)
        fprintf(out, "leased_jobs{state=\"%s\"} %" PRIu64 "\n", job_state_names[i], jobs[i]);
    fputs("# HELP leased_dropped_total Metric points thrown away.\n# TYPE leased_dropped_total "
          "counter\n",
          out);
    fprintf(out, "leased_dropped_total %" PRIu64 "\n", store_dropped(queue_store(api->queue)));
    fputs("# HELP leased_timelapse_missed_total Epochs of which a time-lapse could not be made.\n"
          "# TYPE leased_timelapse_missed_total counter\n",
          out);
    fprintf(out, "leased_timelapse_missed_total %" PRIu64 "\n", queue_timelapse_missed(api->queue));
    fputs("# HELP leased_http_requests_total Answers by HTTP code.\n# TYPE "
          "leased_http_requests_total counter\n",
          out);
    for (int code = 0; code < 600; code++) {
        uint64_t count = atomic_load_explicit(&api->router->answers[code], memory_order_relaxed);

        if (count > 0)
            fprintf(out, "leased_http_requests_total{code=\"%d\"} %" PRIu64 "\n", code, count);
    }
    print_maps(api, out);
    fputs(
        "# HELP leased_uptime_seconds Time since the start.\n# TYPE leased_uptime_seconds gauge\n",
        out);
    fprintf(out, "leased_uptime_seconds %.3f\n", uptime_seconds(api));
    fputs("# HELP process_resident_memory_bytes Resident memory.\n# TYPE "
          "process_resident_memory_bytes gauge\n",
          out);
    fprintf(out, "process_resident_memory_bytes %" PRIu64 "\n", resident_bytes());
}

/* GET /metrics -- Prometheus text format 0.0.4. */
Status api_prometheus(Api *api, const Request *req, Response *ret, Error *err)
{
    uint64_t jobs[JOB_STATE_COUNT];
    char *text = NULL;
    size_t size = 0;
    Bytes bytes;
    FILE *out;
    Status s = queue_counts(api->queue, jobs, err);

    if (s != STATUS_OK)
        return s;
    out = open_memstream(&text, &size);
    if (out == NULL)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the metrics");
    print_metrics(api, jobs, out);
    if (fclose(out) != 0) {
        free(text);
        return error_set(err, STATUS_NO_MEMORY, "no memory for the metrics");
    }
    bytes = (Bytes){ (unsigned char *)text, size };
    response_bytes(ret, "text/plain; version=0.0.4; charset=utf-8", &bytes);
    return STATUS_OK;
}
