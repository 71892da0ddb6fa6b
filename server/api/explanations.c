/*
 * Explanations of pictures that somebody sends. The form is taken apart and its spec checked here;
 * the picture goes to the maps' thread as it came, because decoding it is work. The same picture,
 * checkpoint and parameters are one explanation, so that sending again answers 200 with it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/api/api.h"
#include "server/api/heatmaps.h"
#include "server/codec/json.h"
#include "server/codec/limits.h"
#include "server/codec/npy.h"
#include "server/store/explanations.h"

static const char collection[] = "/api/v1/explanations";

/* --- as JSON --- */

/* What the row says of itself, with its id and links; NULL: out of memory. */
static json_t *row_json(const ExplanationRow *row)
{
    json_t *out = api_stored_json(row->about);
    char self[64], png[72], npy[72];

    snprintf(self, sizeof self, "%s/%lld", collection, (long long)row->id);
    snprintf(png, sizeof png, "%s.png", self);
    snprintf(npy, sizeof npy, "%s.npy", self);
    if (json_object_set_new(out, "id", json_integer((json_int_t)row->id)) != 0 ||
        json_object_set_new(out, "created_at", json_time_ms(row->created_ms)) != 0 ||
        json_object_set_new(out, "links",
                            json_pack("{ss ss ss}", "self", self, "png", png, "npy", npy)) != 0) {
        json_decref(out);
        return NULL;
    }
    return out;
}

typedef struct ListQuery {
    char cursor[32];
    uint32_t limit;
} ListQuery;

static const Field list_fields[] = {
    FIELD_STRING_ROW(ListQuery, cursor, "cursor", 0, "", "`next` of the page before"),
    FIELD_U32_ROW(ListQuery, limit, "limit", LIMIT_PAGE_DEFAULT, 1, LIMIT_PAGE_ITEMS,
                  "items of a page"),
};

/* GET /api/v1/explanations -- newest first. */
Status api_explanation_list(Api *api, const Request *req, Response *ret, Error *err)
{
    ExplanationList list = { 0 };
    int64_t before = 0;
    ListQuery query;
    json_t *items;
    Status s = api_query(req, list_fields, sizeof list_fields / sizeof *list_fields, &query, err);

    if (s == STATUS_OK)
        s = api_cursor(query.cursor, &before, err);
    if (s == STATUS_OK)
        s = store_explanation_list(queue_store(api->queue), before, query.limit, &list, err);
    if (s != STATUS_OK)
        return s;
    items = json_array();
    for (size_t i = 0; i < list.count; i++)
        (void)json_array_append_new(items, row_json(&list.items[i]));
    s = api_page(ret, items, list.next, collection, query.limit, "", err);
    explanation_list_clear(&list);
    return s;
}

static Status answer_row(Store *store, int64_t id, int code, Response *ret, Error *err)
{
    ExplanationRow row = { 0 };
    Status s = store_explanation_get(store, id, true, &row, err);

    if (s == STATUS_OK)
        s = response_json(ret, code, row_json(&row), err);
    explanation_row_clear(&row);
    return s;
}

/* GET /api/v1/explanations/{id} */
Status api_explanation_get(Api *api, const Request *req, Response *ret, Error *err)
{
    int64_t id;
    Status s = request_id_param(req, "id", "explanation", &id, err);

    return s == STATUS_OK ? answer_row(queue_store(api->queue), id, 200, ret, err) : s;
}

/* --- as picture and as numbers --- */

typedef struct DrawQuery {
    DrawParams draw;
} DrawQuery;

static const Field draw_fields[] = { DRAW_FIELD_ROWS(DrawQuery, draw, 8) };

/* GET /api/v1/explanations/{id}.png -- the map laid over the picture. */
Status api_explanation_png(Api *api, const Request *req, Response *ret, Error *err)
{
    MapsRequest request = { .what = MAPS_STORED };
    DrawQuery query;
    Status s = request_id_param(req, "id", "explanation", &request.explanation, err);

    if (s == STATUS_OK)
        s = api_query(req, draw_fields, sizeof draw_fields / sizeof *draw_fields, &query, err);
    if (s != STATUS_OK)
        return s;
    draw_params_take(&query.draw, &request);
    return api_maps_answer(api, req, &request, ret, err);
}

/* GET /api/v1/explanations/{id}.npy -- a copy of a row: nothing is computed. */
Status api_explanation_npy(Api *api, const Request *req, Response *ret, Error *err)
{
    ExplanationRow row = { 0 };
    Bytes bytes = { 0 };
    int64_t id;
    Status s = request_id_param(req, "id", "explanation", &id, err);

    if (s == STATUS_OK)
        s = api_query(req, NULL, 0, NULL, err);
    if (s == STATUS_OK)
        s = store_explanation_get(queue_store(api->queue), id, false, &row, err);
    if (s == STATUS_OK && !api_unchanged(req, row.key, ret)) {
        s = npy_encode_f32(row.map, row.map_height, row.map_width, &bytes, err);
        if (s == STATUS_OK)
            response_bytes(ret, "application/octet-stream", &bytes);
    }
    explanation_row_clear(&row);
    return s;
}

/* --- sending one --- */

typedef struct Spec {
    CheckpointRef checkpoint;
    MapParams map;
} Spec;

static const Field spec_fields[] = {
    FIELD_CHECKPOINT_ROW(Spec, checkpoint, "checkpoint", FIELD_REQUIRED, "the network"),
    MAP_FIELD_ROWS(Spec, map),
};

/* The spec's JSON into the request; errors are "/spec" or below it. */
static Status read_spec(const FormPart *part, MapsRequest *ret, Error *err)
{
    Error why = { 0 };
    json_t *json = NULL;
    Spec spec;
    Status s = json_read(part->bytes, part->size, &json, &why);

    if (s != STATUS_OK)
        return error_at(err, STATUS_INVALID, "/spec", "%s", error_message(&why));
    s = fields_parse(spec_fields, sizeof spec_fields / sizeof *spec_fields, json, &spec, err);
    json_decref(json);
    if (s == STATUS_OK)
        s = map_params_take(&spec.map, ret, err);
    if (s != STATUS_OK) {
        error_prefix_pointers(err, "/spec");
        return s;
    }
    ret->job = (int64_t)spec.checkpoint.job;
    if (spec.checkpoint.which == CHECKPOINT_EPOCH)
        snprintf(ret->which, sizeof ret->which, "%u", spec.checkpoint.epoch);
    else
        snprintf(ret->which, sizeof ret->which, "%s",
                 spec.checkpoint.which == CHECKPOINT_BEST ? "best" : "latest");
    return STATUS_OK;
}

/* Names everything that is missing or too much. */
static Status check_parts(const Form *form, Error *err)
{
    static const char *const names[] = { "image", "spec" };
    Status s = STATUS_OK;

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (form_part(form, names[i]) == NULL) {
            char pointer[16];

            snprintf(pointer, sizeof pointer, "/%s", names[i]);
            s = error_add(err, STATUS_INVALID, pointer, "is missing");
        }
    for (uint32_t i = 0; i < form->parts; i++) {
        char pointer[MULTIPART_NAME_MAX + 1];

        if (strcmp(form->part[i].name, names[0]) == 0 || strcmp(form->part[i].name, names[1]) == 0)
            continue;
        snprintf(pointer, sizeof pointer, "/%s", form->part[i].name);
        s = error_add(err, STATUS_INVALID, pointer,
                      "is no part of the form: \"image\" and \"spec\"");
    }
    return s;
}

static Status read_form(const Request *req, MapsRequest *ret, Error *err)
{
    const FormPart *image;
    Form form;
    Status s = request_form(req, &form, err);

    if (s == STATUS_OK)
        s = check_parts(&form, err);
    if (s == STATUS_OK)
        s = read_spec(form_part(&form, "spec"), ret, err);
    if (s != STATUS_OK)
        return s;
    image = form_part(&form, "image");
    if (image->size == 0)
        return error_at(err, STATUS_INVALID, "/image", "the picture is empty");
    ret->upload.data = malloc(image->size);
    if (ret->upload.data == NULL)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the picture");
    memcpy(ret->upload.data, image->bytes, image->size);
    ret->upload.size = image->size;
    return STATUS_OK;
}

typedef struct Sending {
    Api *api;
    Deferral *deferral;
} Sending;

static bool abandoned(void *context)
{
    const Sending *sending = context;

    return deferral_abandoned(sending->deferral);
}

/* What is not the picture's fault is the spec's. */
static void blame(const Error *why, Error *ret)
{
    *ret = *why;
    if (ret->details > 0 && ret->detail[0].pointer[0] != '\0' &&
        strcmp(ret->detail[0].pointer, "/image") != 0)
        error_prefix_pointers(ret, "/spec");
}

/* On the maps' thread. */
static void sent(void *context, Status status, const Error *why, MapsResult *result)
{
    Sending *sending = context;
    Response response = { 0 };
    Error err;

    blame(why, &err);
    if (status == STATUS_OK)
        status = answer_row(queue_store(sending->api->queue), result->explanation,
                            result->is_new ? 201 : 200, &response, &err);
    if (status == STATUS_OK)
        response_header(&response, "Location", "%s/%lld", collection,
                        (long long)result->explanation);
    deferral_complete(sending->deferral, status, &err, &response);
    response_clear(&response);
    free(sending);
}

static Status submit(Api *api, MapsRequest *request, Response *ret, Error *err)
{
    Sending *sending = malloc(sizeof *sending);
    Status s;

    if (sending == NULL)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the request");
    sending->api = api;
    request->abandoned = abandoned;
    s = response_defer(ret, &sending->deferral, err);
    if (s == STATUS_OK) {
        s = maps_submit(api->maps, request, sent, sending, err);
        if (s == STATUS_OK)
            return s;
        deferral_complete(sending->deferral, s, NULL, NULL);
    }
    free(sending);
    return s;
}

/* POST /api/v1/explanations -- 201, or 200 where it was there already. */
Status api_explanation_create(Api *api, const Request *req, Response *ret, Error *err)
{
    MapsRequest request = { .what = MAPS_UPLOAD };
    Status s = read_form(req, &request, err);

    if (s == STATUS_OK)
        s = submit(api, &request, ret, err);
    if (s != STATUS_OK)
        bytes_clear(&request.upload);
    return s;
}
