/* The API over a real socket, by libcurl: a job goes in and comes out, hostile bodies do no harm, a
 * burst of requests is answered. */
#include "tests/unit/test.h"

#include <curl/curl.h>
#include <signal.h>
#include <string.h>

#include "server/http/server.h"
#include "tests/api/rig.h"

typedef struct Line {
    ApiRig *rig;
    HttpServer *server;
    char url[64];
} Line;

static int setup(void **state)
{
    Line *line = calloc(1, sizeof *line);
    HttpListener listener;
    void *rig = NULL;

    signal(SIGPIPE, SIG_IGN);
    assert_int_equal(api_rig_setup(&rig), 0);
    line->rig = rig;
    assert_int_equal(http_listen("127.0.0.1", 0, &listener, NULL), STATUS_OK);
    assert_int_equal(http_start(&line->rig->router, listener, &line->server, NULL), STATUS_OK);
    snprintf(line->url, sizeof line->url, "http://127.0.0.1:%u", listener.port);
    *state = line;
    return 0;
}

static int teardown(void **state)
{
    Line *line = *state;
    void *rig = line->rig;

    http_stop(line->server);
    free(line);
    return api_rig_teardown(&rig);
}

typedef struct Body {
    char text[65536];
    size_t size;
} Body;

static size_t collect(char *part, size_t one, size_t size, void *context)
{
    Body *body = context;

    if (body->size + size < sizeof body->text) {
        memcpy(body->text + body->size, part, size);
        body->size += size;
        body->text[body->size] = '\0';
    }
    return size;
}

/* One request; the code, and the body in *ret (NULL: not wanted). */
static long request(CURL *curl, const Line *line, const char *path, const char *body, size_t size,
                    Body *ret)
{
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
    static Body unwanted;
    char url[160];
    long code = 0;

    ret = ret != NULL ? ret : &unwanted;
    ret->size = 0;
    snprintf(url, sizeof url, "%s%s", line->url, path);
    curl_easy_reset(curl);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, 20L);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, collect);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, ret);
    if (body != NULL) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)size);
    }
    assert_int_equal(curl_easy_perform(curl), CURLE_OK);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &code);
    curl_slist_free_all(headers);
    return code;
}

static void a_job_goes_in_and_comes_out(void **state)
{
    static const char job[] =
        "{\"kind\":\"train\",\"threads\":1,\"params\":{\"dataset\":\"shapes\",\"train_images\":64,"
        "\"model\":{\"width\":4}}}";
    CURL *curl = curl_easy_init();
    Body *body = calloc(1, sizeof *body);

    assert_int_equal(request(curl, *state, "/api/v1/jobs", job, sizeof job - 1, body), 201);
    assert_int_equal(request(curl, *state, "/api/v1/jobs/1", NULL, 0, body), 200);
    assert_non_null(strstr(body->text, "\"width\":4"));
    assert_int_equal(request(curl, *state, "/api/v1/jobs/1/heatmaps/0.png", NULL, 0, body), 409);
    assert_int_equal(request(curl, *state, "/api/v1/jobs/1/cancel", "", 0, body), 202);
    curl_easy_cleanup(curl);
    free(body);
}

static void ten_megabytes_of_brackets_do_no_harm(void **state)
{
    const size_t size = 10000000;
    char *brackets = malloc(size);
    CURL *curl = curl_easy_init();

    assert_non_null(brackets);
    memset(brackets, '[', size);
    assert_int_equal(request(curl, *state, "/api/v1/jobs", brackets, size, NULL), 413);
    assert_int_equal(request(curl, *state, "/api/v1/jobs", brackets, 1000000, NULL), 400);
    assert_int_equal(request(curl, *state, "/livez", NULL, 0, NULL), 200);
    curl_easy_cleanup(curl);
    free(brackets);
}

static void a_kept_connection_serves_many_requests(void **state)
{
    CURL *curl = curl_easy_init();

    for (int i = 0; i < 200; i++)
        assert_int_equal(
            request(curl, *state, i % 2 ? "/api/v1/jobs/9/layers" : "/livez", NULL, 0, NULL),
            i % 2 ? 404 : 200);
    curl_easy_cleanup(curl);
}

#define with_line(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_line(a_job_goes_in_and_comes_out),
        with_line(ten_megabytes_of_brackets_do_no_harm),
        with_line(a_kept_connection_serves_many_requests),
    };

    return cmocka_run_group_tests(tests, api_rig_open, api_rig_close);
}
