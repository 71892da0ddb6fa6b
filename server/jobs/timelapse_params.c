/* A network's description is enough to know whether it can be watched: no weights are needed. */
#include "server/jobs/timelapse_params.h"

#include <stdio.h>
#include <string.h>

#include "core/nn/network.h"

const Field timelapse_fields[] = {
    FIELD_NUMBERS_ROW(TimelapseParams, image, images, "images", PARAM_INT, 0, 1e9,
                      "which of the test images"),
    FIELD_STRING_ROW(TimelapseParams, layer, "layer", FIELD_NULLABLE, NULL,
                     "of the maps; null: the model's own. Several, with commas between them, are "
                     "fused"),
    FIELD_STRING_ROW(TimelapseParams, method, "method", 0, "gradcam",
                     "a row of the table of heat-map methods"),
};

Status timelapse_params_method(const TimelapseParams *params, uint32_t *ret, Error *err)
{
    int row = table_find(cam_table, params->method);
    char known[ERROR_MESSAGE_MAX - 32] = "";

    if (row >= 0) {
        *ret = (uint32_t)row;
        return STATUS_OK;
    }
    for (size_t i = 0, used = 0; cam_table[i] != NULL && used < sizeof known; i++)
        used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", i > 0 ? ", " : "",
                                 cam_table[i]->described.name);
    return error_at(err, STATUS_INVALID, "/timelapse/method", "must be one of: %s", known);
}

Status timelapse_params_of(const char *params_json, TimelapseParams *ret, Error *err)
{
    const uint32_t count = sizeof timelapse_fields / sizeof *timelapse_fields;
    json_t *params = json_loads(params_json, 0, NULL);
    const json_t *own = json_object_get(params, "timelapse");
    Status s = fields_parse(timelapse_fields, count, json_is_null(own) ? NULL : own, ret, err);

    json_decref(params);
    return s;
}

bool timelapse_keeps(uint32_t epoch, uint32_t epochs)
{
    const uint32_t inner = TIMELAPSE_EPOCHS_MAX - 2; /* beside the first and the last */
    uint32_t every = epochs <= TIMELAPSE_EPOCHS_MAX ? 1 : (epochs - 1) / inner + 1;

    return epoch == 1 || epoch == epochs || epoch % every == 0;
}

static Status check_images(const TimelapseParams *params, uint64_t test_images, Error *err)
{
    Status s = STATUS_OK;

    for (uint32_t i = 0; i < params->images; i++) {
        char pointer[40];

        snprintf(pointer, sizeof pointer, "/timelapse/images/%u", i);
        if (params->image[i] >= (double)test_images)
            s = error_add(err, STATUS_INVALID, pointer, "the job uses %llu test images",
                          (unsigned long long)test_images);
        for (uint32_t k = 0; k < i; k++)
            if (params->image[k] == params->image[i])
                s = error_add(err, STATUS_INVALID, pointer, "is there already");
    }
    return s;
}

/* --- the networks --- */

static Status describe(const TimelapseNetwork *from, Network *ret, Error *err)
{
    StFile *file = NULL;
    Status s;

    if (from->path == NULL)
        return network_init(ret, from->model, &from->input, err);
    s = safetensors_open(from->path, &file, err);
    if (s == STATUS_OK)
        s = network_describe(ret, file, err);
    safetensors_close(file);
    return s;
}

/* The memory of watching this network so. */
static Status plan(const Network *network, uint32_t method, const char *layer, uint64_t *ret,
                   Error *err)
{
    ExplanationSpec spec = explanation_default(explanation_of_cam(method));
    Explanation explanation;
    Status s;

    snprintf(spec.layer, sizeof spec.layer, "%s", layer);
    s = explanation_init(&explanation, network, &spec, 1, err);
    if (s != STATUS_OK)
        return s;
    *ret = network->graph.weight_numbers * sizeof(real) + explanation.work_bytes +
           explanation.state_bytes;
    explanation_clear(&explanation);
    return STATUS_OK;
}

/* What of X was wrong, as what it is here. */
static Status blame(const Error *why, Error *err)
{
    const char *at = why->details > 0 ? why->detail[0].pointer : "";

    if (strcmp(at, "/layer") == 0)
        at = "/timelapse/layer";
    else if (strcmp(at, "/source") == 0)
        at = "/timelapse/method";
    else
        at = "/timelapse";
    return error_at(err, why->status, at, "%s", error_message(why));
}

static Status check_network(const TimelapseNetwork *from, uint32_t method, const char *layer,
                            uint64_t *ret_bytes, Error *err)
{
    Network network = { 0 };
    Error why = { 0 };
    Status s = describe(from, &network, err);

    if (s != STATUS_OK)
        return s;
    s = plan(&network, method, layer, ret_bytes, &why);
    network_clear(&network);
    return s == STATUS_OK ? s : blame(&why, err);
}

Status timelapse_check(const TimelapseParams *params, uint64_t test_images,
                       const TimelapseNetwork *networks, uint32_t count, JobEstimate *estimate,
                       Error *err)
{
    uint64_t most = 0;
    uint32_t method = 0, without = 0;
    Status s;

    if (params->images == 0)
        return STATUS_OK;
    s = check_images(params, test_images, err);
    if (s == STATUS_OK)
        s = timelapse_params_method(params, &method, err);
    for (uint32_t i = 0; i < count && s == STATUS_OK; i++) {
        uint64_t bytes = 0;
        Error why = { 0 };

        s = check_network(&networks[i], method, params->layer, &bytes, &why);
        if (s != STATUS_OK && count > 1 && params->layer[0] != '\0' && without + 1 < count) {
            without++;
            error_clear(&why);
            s = check_network(&networks[i], method, "", &bytes, &why);
        }
        if (s != STATUS_OK)
            return error_at(err, s, why.details > 0 ? why.detail[0].pointer : "", "%s",
                            error_message(&why));
        most = bytes > most ? bytes : most;
    }
    if (s == STATUS_OK)
        estimate->memory_bytes += most;
    return s;
}
