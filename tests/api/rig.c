#include "tests/unit/test.h"

#include "tests/api/rig.h"

#include <string.h>
#include <unistd.h>

enum { WAIT_MS = 30000 };

static Datasets *shared;

int api_rig_open(void **state)
{
    static const char *const specs[] = { "gone=/nonexistent/data" };

    (void)state;
    assert_int_equal(datasets_new(specs, 1, &shared, NULL), STATUS_OK);
    datasets_open_all(shared, NULL);
    for (int i = 0; datasets_loading(shared); i++) {
        assert_true(i < WAIT_MS / 100);
        datasets_wait(shared, datasets_generation(shared), 100);
    }
    return 0;
}

int api_rig_close(void **state)
{
    (void)state;
    datasets_free(shared);
    return 0;
}

static int setup(void **state, Datasets *datasets)
{
    ApiRig *rig = calloc(1, sizeof *rig);
    QueueOptions options = { .workers = 0, .build = "test" };
    char data[96];

    rig->scratch = scratch_new();
    snprintf(data, sizeof data, "%s/data", rig->scratch.path);
    rig->datasets = datasets;
    assert_int_equal(store_open(data, &rig->store, NULL), STATUS_OK);
    options.store = rig->store;
    options.datasets = rig->datasets;
    assert_int_equal(queue_new(&options, &rig->queue, NULL), STATUS_OK);
    assert_int_equal(maps_new(rig->queue, &rig->maps, NULL), STATUS_OK);
    rig->api = (Api){ .queue = rig->queue,
                      .maps = rig->maps,
                      .router = &rig->router,
                      .version = "0.0.0",
                      .build = "test",
                      .started_ms = store_now_ms() };
    submits_init(&rig->api.submits);
    router_init(&rig->router, api_routes, &rig->api, NULL);
    *state = rig;
    return 0;
}

int api_rig_setup(void **state)
{
    return setup(state, shared);
}

int api_rig_setup_unread(void **state)
{
    Datasets *datasets = NULL;

    assert_int_equal(datasets_new(NULL, 0, &datasets, NULL), STATUS_OK);
    return setup(state, datasets);
}

int api_rig_teardown(void **state)
{
    ApiRig *rig = *state;

    assert_int_equal(queue_drain(rig->queue, NULL), STATUS_OK);
    if (rig->datasets != shared)
        datasets_stop(rig->datasets);
    submits_clear(&rig->api.submits);
    maps_free(rig->maps);
    queue_free(rig->queue);
    store_close(rig->store);
    if (rig->datasets != shared)
        datasets_free(rig->datasets);
    scratch_remove(&rig->scratch);
    free(rig);
    return 0;
}

/* The body's bytes, wherever they are. */
static void read_body(Reply *reply)
{
    Response *r = &reply->response;

    reply->size = r->kind == BODY_BYTES    ? r->bytes.size
                  : r->kind == BODY_STATIC ? r->fixed_size
                                           : r->fd_size;
    if (r->kind == BODY_NONE)
        reply->size = 0;
    reply->body = calloc(1, reply->size + 1);
    assert_non_null(reply->body);
    if (r->kind == BODY_BYTES)
        memcpy(reply->body, r->bytes.data, reply->size);
    else if (r->kind == BODY_STATIC)
        memcpy(reply->body, r->fixed, reply->size);
    else if (r->kind == BODY_FILE)
        assert_int_equal(pread(r->fd, reply->body, reply->size, 0), reply->size);
}

Reply api_rig_send(ApiRig *rig, Request req)
{
    Reply reply = { 0 };

    if (req.host == NULL)
        req.host = "127.0.0.1:8080";
    router_dispatch(&rig->router, &req, &reply.response);
    if (reply.response.deferral != NULL)
        router_finish(&rig->router, &req, &reply.response,
                      deferral_wait(reply.response.deferral, WAIT_MS));
    request_clear(&req);
    reply.code = reply.response.code;
    read_body(&reply);
    reply.json = json_loadb(reply.body, reply.size, JSON_DECODE_ANY, NULL);
    return reply;
}

Reply api_rig_get(ApiRig *rig, const char *target)
{
    return api_rig_send(rig, (Request){ .target = target });
}

Reply api_rig_post(ApiRig *rig, const char *target, const char *body)
{
    return api_rig_send(rig, (Request){ .method = METHOD_POST,
                                        .target = target,
                                        .body = body,
                                        .body_size = body != NULL ? strlen(body) : 0,
                                        .content_type = body != NULL ? "application/json" : NULL });
}

void reply_end(Reply *reply)
{
    json_decref(reply->json);
    free(reply->body);
    response_clear(&reply->response);
    *reply = (Reply){ 0 };
}

const char *reply_header(const Reply *reply, const char *name)
{
    for (uint32_t i = 0; i < reply->response.headers; i++)
        if (strcmp(reply->response.header[i].name, name) == 0)
            return reply->response.header[i].value;
    return "";
}

/* Keys with a slash ("test/accuracy") are written "test~1accuracy", as the RFC says. */
const json_t *reply_at(const Reply *reply, const char *pointer)
{
    const json_t *at = reply->json;

    while (*pointer == '/' && at != NULL) {
        char key[128];
        size_t used = 0;

        for (pointer++; *pointer != '\0' && *pointer != '/' && used + 1 < sizeof key; pointer++) {
            if (pointer[0] == '~' && pointer[1] != '\0')
                key[used++] = *++pointer == '1' ? '/' : '~';
            else
                key[used++] = *pointer;
        }
        key[used] = '\0';
        at = json_is_array(at) ? json_array_get(at, strtoul(key, NULL, 10))
                               : json_object_get(at, key);
    }
    return at;
}

const char *reply_text(const Reply *reply, const char *pointer)
{
    const char *text = json_string_value(reply_at(reply, pointer));

    return text != NULL ? text : "";
}

bool reply_names(const Reply *reply, const char *pointer)
{
    const json_t *errors = reply_at(reply, "/errors");

    for (size_t i = 0; i < json_array_size(errors); i++) {
        const char *named =
            json_string_value(json_object_get(json_array_get(errors, i), "pointer"));

        if (named != NULL && strcmp(named, pointer) == 0)
            return true;
    }
    return false;
}

void assert_keys(ApiRig *rig, const json_t *value, const char *schema)
{
    Reply document = api_rig_get(rig, "/api/v1/openapi.json");
    char pointer[80];
    const json_t *properties;
    const char *key;
    json_t *inner;

    snprintf(pointer, sizeof pointer, "/components/schemas/%s/properties", schema);
    properties = reply_at(&document, pointer);
    json_object_foreach((json_t *)value, key, inner) if (json_object_get(properties, key) == NULL)
        fail_msg("%s has no property %s", schema, key);
    json_object_foreach((json_t *)properties, key, inner) if (json_object_get(value, key) == NULL)
        fail_msg("the answer has no %s of %s", key, schema);
    reply_end(&document);
}
