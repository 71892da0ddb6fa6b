/*
 * A picture that somebody sent: decoded, made a square of the network's size as folder data sets
 * are, explained, and kept with what was said of it. The same picture, network and parameters have
 * one row, so that asking again computes nothing.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "core/data/image_decode.h"
#include "core/data/image_resize.h"
#include "server/codec/json.h"
#include "server/jobs/data_params.h"
#include "server/jobs/maps_private.h"
#include "server/store/explanations.h"

enum { TOP_CLASSES = 5 };

/* The picture on its way. */
typedef struct Upload {
    Explainer *explainer;
    const Dataset *dataset;       /* whose names the classes have; NULL: not there */
    uint32_t side, height, width; /* the network's; the picture's as sent */
    uint8_t *pixels;              /* [side,side,3] */
    HeatMap heat;
} Upload;

static Status check_network(const Explainer *explainer, Error *err)
{
    Shape in = explainer_input(explainer);

    if (in.dim[1] == in.dim[2] && in.dim[3] == 3)
        return STATUS_OK;
    return error_at(err, STATUS_INVALID, "/checkpoint",
                    "its network takes inputs of %ux%ux%u: no plain picture", in.dim[1], in.dim[2],
                    in.dim[3]);
}

/* PNG or JPEG -> the square that the network looks at. */
static Status read_picture(const Bytes *bytes, Upload *up, Error *err)
{
    Image image = { 0 };
    Error why = { 0 };
    Status s = image_decode(bytes->data, bytes->size, &image, &why);

    if (s != STATUS_OK)
        return error_at(err, s, "/image", "the picture %s", error_message(&why));
    up->height = image.height;
    up->width = image.width;
    up->pixels = malloc((size_t)up->side * up->side * 3);
    s = up->pixels == NULL ? error_set(err, STATUS_NO_MEMORY, "cannot allocate an image")
                           : image_square(&image, up->side, up->pixels, err);
    image_clear(&image);
    return s;
}

static Status explain(const MapsRequest *r, Upload *up, Error *err)
{
    char names[MAPS_LAYER_BYTES];
    MapRequest map = { .method = r->method,
                       .class_index = r->class_index,
                       .signed_map = r->signed_map,
                       .flips = r->flips,
                       .seed = r->seed };
    Status s = map_layers(r, names, &map, err);

    return s == STATUS_OK ? map_pixels(up->explainer, up->pixels, &map, false, &up->heat, err) : s;
}

/* --- what is said of it --- */

static json_t *class_json(const Upload *up, uint32_t k)
{
    return json_pack("{sI so so}", "class", (json_int_t)k, "name",
                     up->dataset != NULL ? json_text(up->dataset->class_names[k]) : json_null(),
                     "score", json_number((double)explainer_score(up->explainer, k)));
}

/* The most likely ones, the first on ties. */
static json_t *prediction_json(const Upload *up)
{
    uint32_t classes = explainer_classes(up->explainer), top[TOP_CLASSES], count = 0;
    json_t *out = json_array();

    for (uint32_t k = 0; k < classes; k++) {
        float score = explainer_score(up->explainer, k);
        uint32_t at = count;

        while (at > 0 && explainer_score(up->explainer, top[at - 1]) < score)
            at--;
        if (at == TOP_CLASSES)
            continue;
        if (count < TOP_CLASSES)
            count++;
        memmove(&top[at + 1], &top[at], (count - at - 1) * sizeof *top);
        top[at] = k;
    }
    for (uint32_t i = 0; i < count; i++)
        (void)json_array_append_new(out, class_json(up, top[i]));
    return out;
}

/* NULL: out of memory. */
static char *about_text(const MapsRequest *r, const MapsPlan *plan, const Upload *up)
{
    const PlannedNetwork *network = &plan->network[0];
    const Checkpoint *c = &network->checkpoint;
    json_t *about = json_pack(
        "{s{sI sI ss ss?} s{ss sI sI} so so ss ss? sb sb sI sb s{sI sI}}", "checkpoint", "job",
        (json_int_t)c->job, "epoch", (json_int_t)c->epoch, "sha256", c->sha256, "model",
        network->part[0] != '\0' ? network->part : NULL, "image", "sha256", plan->upload_sha256,
        "width", (json_int_t)up->width, "height", (json_int_t)up->height, "prediction",
        prediction_json(up), "class", class_json(up, up->heat.class_index), "method",
        cam_table[r->method]->described.name, "layer", r->layer[0] != '\0' ? r->layer : NULL,
        "signed", (int)r->signed_map, "flips", (int)r->flips, "seed", (json_int_t)r->seed, "empty",
        (int)up->heat.empty, "map", "height", (json_int_t)up->heat.height, "width",
        (json_int_t)up->heat.width);
    char *text = about != NULL ? json_dumps(about, JSON_WRITE_FLAGS) : NULL;

    json_decref(about);
    return text;
}

/* --- */

/* The data set of the job that trained the network, if it is there and has as many classes. */
static const Dataset *named_classes(Queue *queue, const MapsPlan *plan, const Explainer *explainer)
{
    const Dataset *dataset = NULL;
    DataParams params;
    Job job = { 0 };
    Status s = store_job_get(queue_store(queue), plan->network[0].checkpoint.job, &job, NULL);

    if (s == STATUS_OK)
        s = data_params_of(job.params, &params, NULL);
    if (s == STATUS_OK)
        s = data_params_open(&params, queue_datasets(queue), &dataset, NULL);
    job_clear(&job);
    return s == STATUS_OK && dataset->classes == explainer_classes(explainer) ? dataset : NULL;
}

static Status keep(Store *store, const MapsRequest *r, const MapsPlan *plan, Upload *up,
                   MapsResult *result, Error *err)
{
    ExplanationRow row = { .job = plan->network[0].checkpoint.job,
                           .about = about_text(r, plan, up),
                           .height = up->side,
                           .width = up->side,
                           .pixels = up->pixels,
                           .map_height = up->heat.height,
                           .map_width = up->heat.width,
                           .map = up->heat.values };
    Status s;

    if (row.about == NULL)
        return error_set(err, STATUS_NO_MEMORY, "no memory for an explanation");
    memcpy(row.key, plan->key, sizeof row.key);
    s = store_explanation_put(store, &row, LIMIT_EXPLANATIONS, &result->explanation,
                              &result->is_new, err);
    free(row.about);
    return s;
}

Status answer_upload(Queue *queue, Networks *networks, const MapsRequest *r, const MapsPlan *plan,
                     MapsResult *result, Error *err)
{
    Store *store = queue_store(queue);
    Upload up = { .explainer = NULL };
    Status s = store_explanation_find(store, plan->key, &result->explanation, NULL);

    if (s == STATUS_OK)
        return s;
    s = networks_open(networks, &plan->network[0], &up.explainer, err);
    if (s == STATUS_OK)
        s = check_network(up.explainer, err);
    if (s != STATUS_OK)
        return s;
    up.side = explainer_input(up.explainer).dim[1];
    up.dataset = named_classes(queue, plan, up.explainer);
    s = read_picture(&r->upload, &up, err);
    if (s == STATUS_OK)
        s = explain(r, &up, err);
    if (s == STATUS_OK)
        s = keep(store, r, plan, &up, result, err);
    heatmap_clear(&up.heat);
    free(up.pixels);
    return s;
}

/* --- a stored one's picture --- */

Status key_stored(Store *store, const MapsRequest *r, char ret[SHA256_HEX], Error *err)
{
    ExplanationRow row = { 0 };
    KeyText key;
    Status s = store_explanation_get(store, r->explanation, true, &row, err);

    if (s == STATUS_OK)
        s = key_begin(&key, err);
    if (s == STATUS_OK) {
        fprintf(key.out, "stored %s\n", row.key);
        key_put_render(&key, r);
        s = key_end(&key, ret, err);
    }
    explanation_row_clear(&row);
    return s;
}

Status answer_stored(Store *store, const MapsRequest *r, MapsResult *result, Error *err)
{
    ExplanationRow row = { 0 };
    HeatMap heat;
    Status s = store_explanation_get(store, r->explanation, false, &row, err);

    if (s != STATUS_OK)
        return s;
    heat = (HeatMap){ .height = row.map_height, .width = row.map_width, .values = row.map };
    s = draw_map(r, &heat, row.pixels, row.height, row.width, 3, &result->bytes, err);
    explanation_row_clear(&row);
    return s;
}
