/* http: the router without a socket; then the adapter on a real one, spoken to in raw bytes. */
#include "tests/unit/test.h"

#include <arpa/inet.h>
#include <jansson.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/codec/limits.h"
#include "server/http/server.h"

struct Api {
    Deferral *deferral; /* of the last deferred request, for whoever completes it */
    pthread_t thread;
    int delay_ms;
    atomic_uint deferred; /* requests whose thread runs */
};

static Status echo(Api *api, const Request *req, Response *ret, Error *err)
{
    const char *q = request_query(req, "q");

    return response_json(
        ret, 200, json_pack("{ssss}", "id", request_param(req, "id"), "q", q != NULL ? q : "-"),
        err);
}

static Status suffix(Api *api, const Request *req, Response *ret, Error *err)
{
    int64_t n;
    Status s = request_id_param(req, "n", "picture", &n, err);

    return s == STATUS_OK ? response_json(ret, 200, json_integer(n), err) : s;
}

static Status take(Api *api, const Request *req, Response *ret, Error *err)
{
    json_t *body = NULL;
    Status s = request_json(req, &body, err);

    return s == STATUS_OK ? response_json(ret, 201, body, err) : s;
}

static void *complete_later(void *context)
{
    Api *api = context;
    Response late = { 0 };
    Error err = { 0 };

    usleep((useconds_t)api->delay_ms * 1000);
    if (response_json(&late, 200, json_string("late"), &err) != STATUS_OK)
        abort();
    deferral_complete(api->deferral, STATUS_OK, NULL, &late);
    return NULL;
}

static Status defer(Api *api, const Request *req, Response *ret, Error *err)
{
    Status s = response_defer(ret, &api->deferral, err);

    if (s == STATUS_OK && pthread_create(&api->thread, NULL, complete_later, api) != 0)
        abort();
    atomic_fetch_add(&api->deferred, 1);
    return s;
}

/* How long the body is, and what its bytes sum to. */
static Status weigh(Api *api, const Request *req, Response *ret, Error *err)
{
    json_int_t sum = 0;

    for (size_t i = 0; i < req->body_size; i++)
        sum += (unsigned char)req->body[i];
    return response_json(ret, 200,
                         json_pack("{sIsI}", "bytes", (json_int_t)req->body_size, "sum", sum), err);
}

static Status broken(Api *api, const Request *req, Response *ret, Error *err)
{
    error_add(err, STATUS_INVALID, "/a", "is bad: \xff");
    return error_add(err, STATUS_INVALID, "/b", "is worse");
}

static Status busy(Api *api, const Request *req, Response *ret, Error *err)
{
    return error_set(err, STATUS_BUSY, "later");
}

static const Route routes[] = {
    { METHOD_GET, "/x/{id}", "echo", echo },   { METHOD_GET, "/x/{id}/{n}.png", "suffix", suffix },
    { METHOD_POST, "/x", "take", take },       { METHOD_GET, "/late", "defer", defer },
    { METHOD_UPLOAD, "/big", "weigh", weigh }, { METHOD_GET, "/broken", "broken", broken },
    { METHOD_GET, "/busy", "busy", busy },     { .path = NULL },
};
static const unsigned char page[] = "<html>";
static const EmbeddedFile files[] = { { "index.html", page, 6 },
                                      { "app.js", page, 6 },
                                      { NULL, NULL, 0 } };

typedef struct Answer {
    Response response;
    json_t *json;
} Answer;

static Answer ask(Router *router, Request req)
{
    Answer a = { 0 };

    router_dispatch(router, &req, &a.response);
    if (a.response.deferral != NULL)
        router_finish(router, &req, &a.response, deferral_wait(a.response.deferral, 5000));
    if (a.response.kind == BODY_BYTES)
        a.json =
            json_loadb((char *)a.response.bytes.data, a.response.bytes.size, JSON_DECODE_ANY, NULL);
    request_clear(&req);
    return a;
}

static void end(Answer *a)
{
    json_decref(a->json);
    response_clear(&a->response);
}

static const char *header(const Response *r, const char *name)
{
    for (uint32_t i = 0; i < r->headers; i++)
        if (strcmp(r->header[i].name, name) == 0)
            return r->header[i].value;
    return "";
}

static const char *member(const Answer *a, const char *key)
{
    const char *text = json_string_value(json_object_get(a->json, key));

    return text != NULL ? text : "";
}

static Router *fresh_router(Api *api)
{
    static Router router;

    router_init(&router, routes, api, files);
    return &router;
}

static void paths_and_queries_are_decoded_once(void **state)
{
    Answer a = ask(fresh_router(NULL), (Request){ .target = "/x/a%2Fb%20c?z&q=1%2B1+=2" });

    (void)state;
    assert_int_equal(a.response.code, 200);
    assert_string_equal(member(&a, "id"), "a/b c");
    assert_string_equal(member(&a, "q"), "1+1 =2");
    end(&a);
    a = ask(fresh_router(NULL), (Request){ .target = "/x/7/41.png" });
    assert_int_equal(json_integer_value(a.json), 41);
    end(&a);
}

/* The problem that a request ends in: its code, and that it is one. */
static void assert_problem(Request req, int code, const char *word)
{
    Answer a = ask(fresh_router(NULL), req);

    assert_int_equal(a.response.code, code);
    assert_string_equal(a.response.content_type, "application/problem+json");
    assert_int_equal(json_integer_value(json_object_get(a.json, "status")), code);
    assert_string_equal(member(&a, "code"), word);
    assert_true(member(&a, "title")[0] != '\0' && member(&a, "detail")[0] != '\0' &&
                member(&a, "request_id")[0] != '\0');
    assert_string_equal(header(&a.response, "X-Content-Type-Options"), "nosniff");
    assert_true(json_is_array(json_object_get(a.json, "errors")));
    end(&a);
}

static void every_error_is_a_problem_document(void **state)
{
    char *deep = calloc(1, 4001);

    (void)state;
    memset(deep, '/', 4000);
    assert_problem((Request){ .target = "/nowhere" }, 404, "not_found");
    assert_problem((Request){ .target = "/x//1.png" }, 404, "not_found");
    assert_problem((Request){ .target = "/x/1/.png" }, 404, "not_found");
    assert_problem((Request){ .target = "/x/1/-1.png" }, 404, "not_found");
    assert_problem((Request){ .target = "/x/1/99999999999999999999.png" }, 404, "not_found");
    assert_problem((Request){ .target = "/../../etc/passwd" }, 404, "not_found");
    assert_problem((Request){ .target = "/assets/..%2findex.html" }, 404, "not_found");
    assert_problem((Request){ .target = "/%zz" }, 400, "malformed");
    assert_problem((Request){ .target = "/%00" }, 400, "malformed");
    assert_problem((Request){ .target = "/x/1?%" }, 400, "malformed");
    assert_problem((Request){ .target = "*" }, 400, "malformed");
    assert_problem((Request){ .target = "" }, 400, "malformed");
    assert_problem((Request){ .target = deep }, 400, "malformed");
    assert_problem((Request){ .target = "/busy" }, 503, "busy");
    assert_problem((Request){ .method = METHOD_POST, .target = "/x", .content_type = "text/plain" },
                   415, "media_type");
    assert_problem((Request){ .method = METHOD_POST, .target = "/x" }, 415, "media_type");
    assert_problem(
        (Request){ .method = METHOD_POST, .target = "/x", .content_type = "application/json" }, 400,
        "malformed");
    assert_problem((Request){ .method = METHOD_POST, .target = "/x", .body_too_large = true }, 413,
                   "too_large");
    free(deep);
}

static void a_problem_names_every_field_even_in_bad_utf8(void **state)
{
    Answer a = ask(fresh_router(NULL), (Request){ .target = "/broken" });
    json_t *errors = json_object_get(a.json, "errors");

    (void)state;
    assert_int_equal(a.response.code, 422);
    assert_int_equal(json_array_size(errors), 2);
    assert_string_equal(json_string_value(json_object_get(json_array_get(errors, 1), "pointer")),
                        "/b");
    assert_string_equal(member(&a, "detail"), "/a: is bad: ? (and 1 more)");
    end(&a);
}

static void another_method_is_told_what_is_allowed(void **state)
{
    Answer a = ask(fresh_router(NULL), (Request){ .method = METHOD_OTHER, .target = "/x/1" });

    (void)state;
    assert_int_equal(a.response.code, 405);
    assert_string_equal(header(&a.response, "Allow"), "GET, HEAD");
    end(&a);
    a = ask(fresh_router(NULL), (Request){ .target = "/big" });
    assert_int_equal(a.response.code, 405);
    assert_string_equal(header(&a.response, "Allow"), "POST");
    end(&a);
    a = ask(fresh_router(NULL), (Request){ .target = "/x" });
    assert_int_equal(a.response.code, 405);
    assert_string_equal(header(&a.response, "Allow"), "POST");
    end(&a);
}

static void other_sites_are_kept_out(void **state)
{
    static const char *const good[] = { "localhost", "127.0.0.1:8080", "[::1]:1", "LOCALHOST:80" };
    static const char *const bad[] = { "evil.example", "127.0.0.1.evil.example",
                                       "localhost:80@evil", "[::1]evil", "" };
    const char *body = "{}";
    Request post = { .method = METHOD_POST,
                     .target = "/x",
                     .content_type = "application/json; charset=utf-8",
                     .body = body,
                     .body_size = 2,
                     .host = "127.0.0.1:8080",
                     .origin = "http://127.0.0.1:8080" };
    Answer a;

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        a = ask(fresh_router(NULL), (Request){ .target = "/x/1", .host = good[i] });
        assert_int_equal(a.response.code, 200);
        end(&a);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_problem((Request){ .target = "/x/1", .host = bad[i] }, 403, "forbidden");
    a = ask(fresh_router(NULL), post);
    assert_int_equal(a.response.code, 201);
    end(&a);
    post.origin = "http://evil.example";
    assert_problem(post, 403, "forbidden");
    post.origin = "null";
    assert_problem(post, 403, "forbidden");
}

static void the_dashboard_is_served_with_its_types(void **state)
{
    Answer a = ask(fresh_router(NULL), (Request){ .target = "/" });

    (void)state;
    assert_int_equal(a.response.code, 200);
    assert_int_equal(a.response.fixed_size, 6);
    assert_string_equal(a.response.content_type, "text/html; charset=utf-8");
    assert_non_null(strstr(header(&a.response, "Content-Security-Policy"), "default-src 'self'"));
    end(&a);
    a = ask(fresh_router(NULL), (Request){ .target = "/assets/app.js" });
    assert_string_equal(a.response.content_type, "text/javascript; charset=utf-8");
    end(&a);
    assert_problem((Request){ .method = METHOD_POST, .target = "/" }, 405, "method_not_allowed");
}

static void a_deferred_answer_arrives(void **state)
{
    Api api = { .delay_ms = 20 };
    Answer a = ask(fresh_router(&api), (Request){ .target = "/late" });

    (void)state;
    assert_int_equal(a.response.code, 200);
    assert_string_equal(json_string_value(a.json), "late");
    end(&a);
    pthread_join(api.thread, NULL);
}

static void an_answer_that_nobody_waits_for_is_thrown_away(void **state)
{
    Api api = { .delay_ms = 50 };
    Router *router = fresh_router(&api);
    Request req = { .target = "/late" };
    Response response = { 0 };

    (void)state;
    router_dispatch(router, &req, &response);
    assert_false(deferral_wait(response.deferral, 1));
    router_finish(router, &req, &response, false);
    assert_int_equal(response.code, 503);
    assert_string_equal(header(&response, "Retry-After"), "2");
    pthread_join(api.thread, NULL);
    response_clear(&response);
    request_clear(&req);
}

/* ---- the adapter ---- */

typedef struct Rig {
    Api api;
    Router router;
    HttpServer *server;
    uint16_t port;
} Rig;

static int rig_start(void **state)
{
    Rig *rig = calloc(1, sizeof *rig);
    HttpListener listener;

    signal(SIGPIPE, SIG_IGN);
    router_init(&rig->router, routes, &rig->api, files);
    if (http_listen("127.0.0.1", 0, &listener, NULL) != STATUS_OK ||
        http_start(&rig->router, listener, &rig->server, NULL) != STATUS_OK)
        return 1;
    rig->port = listener.port;
    *state = rig;
    return 0;
}

static int rig_stop(void **state)
{
    Rig *rig = *state;

    http_stop(rig->server);
    free(rig);
    return 0;
}

static int dial(const Rig *rig)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(rig->port) };
    struct timeval limit = { .tv_sec = 10 };
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    return fd;
}

static void say(int fd, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t wrote = write(fd, bytes, size);

        if (wrote <= 0)
            return; /* the other side hung up: what it answered decides */
        bytes += wrote;
        size -= (size_t)wrote;
    }
}

/* Everything until the other side closes; the caller frees it. */
static char *hear(int fd)
{
    char *all = calloc(1, 65536);
    size_t used = 0;
    ssize_t got;

    while (used < 65535 && (got = read(fd, all + used, 65535 - used)) > 0)
        used += (size_t)got;
    close(fd);
    return all;
}

static char *talk(const Rig *rig, const char *text)
{
    int fd = dial(rig);

    say(fd, text, strlen(text));
    return hear(fd);
}

static void assert_says(char *answer, const char *start, const char *word)
{
    if (strncmp(answer, start, strlen(start)) != 0 || strstr(answer, word) == NULL)
        fail_msg("the answer is: %s", answer);
    free(answer);
}

static void the_adapter_answers_get_head_and_post(void **state)
{
    assert_says(
        talk(*state, "GET /x/1?q=%20 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
        "HTTP/1.1 200 ", "{\"id\":\"1\",\"q\":\" \"}");
    assert_says(talk(*state, "HEAD /x/1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
                "HTTP/1.1 200 ", "Content-Length: 18\r\n");
    assert_says(talk(*state, "POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
                             "application/json\r\nContent-Length: 7\r\n"
                             "Connection: close\r\n\r\n{\"a\":1}"),
                "HTTP/1.1 201 ", "{\"a\":1}");
    assert_says(talk(*state, "DELETE /x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
                "HTTP/1.1 405 ", "Allow: POST\r\n");
    assert_says(
        talk(*state, "GET /x/1 HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"),
        "HTTP/1.1 403 ", "forbidden");
}

static void a_body_that_is_too_large_is_read_before_the_answer(void **state)
{
    const size_t size = 10000000;
    char head[160], *body = malloc(size);
    int fd = dial(*state);

    snprintf(head, sizeof head,
             "POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
             "Content-Length: %zu\r\nConnection: close\r\n\r\n",
             size);
    memset(body, '[', size);
    say(fd, head, strlen(head));
    say(fd, body, size);
    assert_says(hear(fd), "HTTP/1.1 413 ", "too_large");
    free(body);
}

static void a_body_that_announces_too_much_is_not_read(void **state)
{
    assert_says(talk(*state,
                     "POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                     "Content-Length: 999999999999\r\n\r\n"),
                "HTTP/1.1 413 ", "too_large");
}

/* Sends `size` bytes of value 1 to a route for large bodies, but for the last `held` of them. */
static int begin_upload(const Rig *rig, size_t size, size_t held)
{
    char head[160], *body = malloc(size);
    int fd = dial(rig);

    assert_non_null(body);
    snprintf(head, sizeof head,
             "POST /big HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n"
             "Connection: close\r\n\r\n",
             size);
    memset(body, 1, size);
    say(fd, head, strlen(head));
    say(fd, body, size - held);
    free(body);
    return fd;
}

static void an_upload_may_be_larger_than_other_bodies(void **state)
{
    assert_int_equal(router_body_bytes(fresh_router(NULL), METHOD_POST, "/big?x=1"),
                     LIMIT_UPLOAD_BYTES);
    assert_int_equal(router_body_bytes(fresh_router(NULL), METHOD_POST, "/x"), LIMIT_BODY_BYTES);
    assert_int_equal(router_body_bytes(fresh_router(NULL), METHOD_POST, "%"), LIMIT_BODY_BYTES);
    assert_says(hear(begin_upload(*state, 3000001, 0)), "HTTP/1.1 200 ",
                "{\"bytes\":3000001,\"sum\":3000001}");
    assert_says(hear(begin_upload(*state, LIMIT_UPLOAD_BYTES, 0)), "HTTP/1.1 200 ", "16777216");
    assert_says(hear(begin_upload(*state, LIMIT_UPLOAD_BYTES + 1, 0)), "HTTP/1.1 413 ", "16777216");
}

static void more_uploads_than_there_is_room_for_are_told_to_wait(void **state)
{
    enum { HELD = LIMIT_UPLOADS_BYTES / LIMIT_UPLOAD_BYTES, TRIES = 1000 };
    int fd[HELD];
    bool refused = false;

    for (int i = 0; i < HELD; i++)
        fd[i] = begin_upload(*state, LIMIT_UPLOAD_BYTES, 1);
    for (int i = 0; i < TRIES && !refused; i++) { /* until all that was sent has been read */
        char *answer = hear(begin_upload(*state, 2000000, 0));

        refused = strncmp(answer, "HTTP/1.1 503 ", 13) == 0;
        if (refused)
            assert_non_null(strstr(answer, "Retry-After"));
        free(answer);
    }
    assert_true(refused);
    for (int i = 0; i < HELD; i++) {
        say(fd[i], "\1", 1);
        assert_says(hear(fd[i]), "HTTP/1.1 200 ", "16777216");
    }
    assert_says(hear(begin_upload(*state, 2000000, 0)), "HTTP/1.1 200 ", "2000000");
}

static void the_adapter_waits_for_a_deferred_answer(void **state)
{
    Rig *rig = *state;

    for (int delay = 0; delay <= 40; delay += 20) {
        rig->api.delay_ms = delay;
        assert_says(talk(rig, "GET /late HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
                    "HTTP/1.1 200 ", "\"late\"");
        pthread_join(rig->api.thread, NULL);
    }
}

/* A dialogue that ends with a reset while its answer is computed. */
static void leave_early(Rig *rig)
{
    const struct linger at_once = { .l_onoff = 1 };
    const char *text = "GET /late HTTP/1.1\r\nHost: localhost\r\n\r\n";
    unsigned before = atomic_load(&rig->api.deferred);
    int fd = dial(rig);

    say(fd, text, strlen(text));
    while (atomic_load(&rig->api.deferred) == before)
        usleep(200);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(fd);
    pthread_join(rig->api.thread, NULL);
}

static void clients_that_leave_early_take_no_place_with_them(void **state)
{
    Rig *rig = *state;

    rig->api.delay_ms = 4;
    for (int i = 0; i < LIMIT_DEFERRED + 2; i++)
        leave_early(rig);
    usleep(1200000); /* the timer looks at who waits once a second */
    assert_says(talk(rig, "GET /late HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
                "HTTP/1.1 200 ", "\"late\"");
    pthread_join(rig->api.thread, NULL);
}

static void stopping_answers_what_is_still_computed(void **state)
{
    Rig *rig = *state;
    const char *text = "GET /late HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    int fd = dial(rig);

    rig->api.delay_ms = 400;
    say(fd, text, strlen(text));
    usleep(100000);
    http_stop(rig->server);
    rig->server = NULL;
    assert_says(hear(fd), "HTTP/1.1 503 ", "Retry-After");
    pthread_join(rig->api.thread, NULL);
}

static void a_port_in_use_is_named(void **state)
{
    Rig *rig = *state;
    HttpListener listener;
    Error err = { 0 };

    assert_int_equal(http_listen("127.0.0.1", rig->port, &listener, &err), STATUS_CONFLICT);
    assert_non_null(strstr(error_message(&err), "127.0.0.1:"));
    assert_int_equal(http_listen("nowhere", 0, &listener, NULL), STATUS_INVALID);
}

#define with_rig(test) cmocka_unit_test_setup_teardown(test, rig_start, rig_stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_and_queries_are_decoded_once),
        cmocka_unit_test(every_error_is_a_problem_document),
        cmocka_unit_test(a_problem_names_every_field_even_in_bad_utf8),
        cmocka_unit_test(another_method_is_told_what_is_allowed),
        cmocka_unit_test(other_sites_are_kept_out),
        cmocka_unit_test(the_dashboard_is_served_with_its_types),
        cmocka_unit_test(a_deferred_answer_arrives),
        cmocka_unit_test(an_answer_that_nobody_waits_for_is_thrown_away),
        with_rig(the_adapter_answers_get_head_and_post),
        with_rig(a_body_that_is_too_large_is_read_before_the_answer),
        with_rig(an_upload_may_be_larger_than_other_bodies),
        with_rig(more_uploads_than_there_is_room_for_are_told_to_wait),
        with_rig(a_body_that_announces_too_much_is_not_read),
        with_rig(the_adapter_waits_for_a_deferred_answer),
        with_rig(clients_that_leave_early_take_no_place_with_them),
        with_rig(stopping_answers_what_is_still_computed),
        with_rig(a_port_in_use_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
