/*
 * What a request is about, by rows of the database and the data set alone: which checkpoints, which
 * images. That is little enough for an HTTP thread, and it is all that an answer depends on beside
 * the request and this program: so it is hashed, and the digest is the answer's name.
 *
 * A split's order is a permutation only where images were set apart for validation; elsewhere the
 * position is the number, and nothing is built to find that out.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/build.h"
#include "core/data/canvas.h"
#include "server/jobs/checkpoint_part.h"
#include "server/jobs/data_params.h"
#include "server/jobs/maps_private.h"
#include "server/jobs/run.h"

/* --- checkpoints --- */

static Status find_checkpoint(Queue *queue, const Job *job, const char *which, Checkpoint *ret,
                              Error *err)
{
    Error why = { 0 };
    Status s = queue_checkpoint(queue, job->id, which, ret, &why);
    Checkpoint any;

    if (s == STATUS_OK)
        return s;
    if (s == STATUS_NOT_FOUND &&
        queue_checkpoint(queue, job->id, "latest", &any, NULL) == STATUS_NOT_FOUND)
        return error_set(err, STATUS_CONFLICT, "job %lld has no checkpoint yet",
                         (long long)job->id);
    return error_at(err, s, why.detail[0].pointer, "%s", error_message(&why));
}

/* Whether the job's checkpoints hold two networks, as those of a `lease` do. */
static Status holds_two(Queue *queue, const Job *job, const char *which, bool *ret, Error *err)
{
    Checkpoint checkpoint;
    char *path;
    Status s = find_checkpoint(queue, job, which, &checkpoint, err);

    if (s != STATUS_OK)
        return s;
    path = store_checkpoint_file(queue_store(queue), &checkpoint);
    s = path == NULL ? error_set(err, STATUS_NO_MEMORY, "cannot allocate a path")
                     : checkpoint_has_part(path, "explainer", ret, err);
    free(path);
    return s;
}

/* Room for one more. */
static PlannedNetwork *add_network(MapsPlan *plan, Error *err)
{
    PlannedNetwork *grown = realloc(plan->network, (plan->networks + 1) * sizeof *plan->network);

    if (grown == NULL) {
        (void)error_set(err, STATUS_NO_MEMORY, "no memory for a request");
        return NULL;
    }
    plan->network = grown;
    memset(&grown[plan->networks], 0, sizeof *grown);
    return &grown[plan->networks++];
}

/* A network of a job at one of its epochs. */
static Status plan_network(Queue *queue, MapsPlan *plan, const Job *job, const char *which,
                           const char *part, Error *err)
{
    PlannedNetwork *n = add_network(plan, err);

    if (n == NULL)
        return STATUS_NO_MEMORY;
    snprintf(n->part, sizeof n->part, "%s", part);
    snprintf(n->title, sizeof n->title, "job %lld%s%s", (long long)job->id, *part ? " " : "", part);
    return find_checkpoint(queue, job, which, &n->checkpoint, err);
}

/* The epochs whose checkpoints may be handed out, oldest first, as names. */
static Status kept_epochs(Queue *queue, int64_t job, char (*ret)[LAYER_NAME_MAX],
                          uint32_t *ret_count, Error *err)
{
    Checkpoint *rows = calloc(CHECKPOINT_LIST_MAX, sizeof *rows), any;
    size_t count = 0;
    uint32_t kept = 0;
    Status s = rows == NULL ? error_set(err, STATUS_NO_MEMORY, "no memory for a list")
                            : store_checkpoint_list(queue_store(queue), job, rows,
                                                    CHECKPOINT_LIST_MAX, &count, err);

    for (size_t i = count; s == STATUS_OK && i-- > 0 && kept < CONTACT_NAMES_MAX;) {
        char which[MAPS_WHICH_BYTES];

        snprintf(which, sizeof which, "%u", rows[i].epoch);
        if (!rows[i].partial && queue_checkpoint(queue, job, which, &any, NULL) == STATUS_OK)
            snprintf(ret[kept++], LAYER_NAME_MAX, "%s", which);
    }
    free(rows);
    *ret_count = kept;
    return s;
}

/* The columns by epoch, or the one epoch that the request names. */
static Status plan_epochs(Queue *queue, const MapsRequest *r, const Job *job,
                          char (*ret)[LAYER_NAME_MAX], uint32_t *ret_count, Error *err)
{
    const ContactSpec *c = &r->contact;
    Status s;

    if (r->what != MAPS_CONTACT || c->by != BY_EPOCHS) {
        snprintf(ret[0], LAYER_NAME_MAX, "%s", r->which);
        *ret_count = 1;
        return STATUS_OK;
    }
    if (c->values > 0) {
        memcpy(ret, c->name, c->values * sizeof *ret);
        *ret_count = c->values;
        return STATUS_OK;
    }
    s = kept_epochs(queue, job->id, ret, ret_count, err);
    if (s == STATUS_OK && *ret_count == 0)
        s = error_set(err, STATUS_CONFLICT, "job %lld has no checkpoint yet", (long long)job->id);
    return s;
}

/* One network of a job, or both of a `lease` where the columns are networks. */
static Status plan_source(Queue *queue, const MapsRequest *r, MapsPlan *plan, const Job *job,
                          char (*epochs)[LAYER_NAME_MAX], Error *err)
{
    static const char *const both[] = { "explainer", "audience" };
    bool two = false;
    Status s = STATUS_OK;

    if (r->what == MAPS_CONTACT && r->contact.by == BY_MODELS)
        s = holds_two(queue, job, epochs[0], &two, err);
    for (uint32_t p = 0; p < 1 + (uint32_t)two && s == STATUS_OK; p++, plan->sources++)
        for (uint32_t e = 0; e < plan->epochs && s == STATUS_OK; e++)
            s = plan_network(queue, plan, job, epochs[e], two ? both[p] : r->part, err);
    return s;
}

static Status find_other(Queue *queue, int64_t id, Job *ret, Error *err)
{
    Error why = { 0 };
    Status s = store_job_get(queue_store(queue), id, ret, &why);

    return s == STATUS_OK ? s
                          : error_at(err, s == STATUS_NOT_FOUND ? STATUS_INVALID : s, "/other",
                                     "%s", error_message(&why));
}

static Status plan_networks(Queue *queue, const MapsRequest *r, MapsPlan *plan, const Job *job,
                            Error *err)
{
    char epochs[CONTACT_NAMES_MAX][LAYER_NAME_MAX];
    int64_t id = r->what == MAPS_CONTACT ? r->contact.other : 0;
    Job other = { 0 };
    Status s = plan_epochs(queue, r, job, epochs, &plan->epochs, err);

    if (s == STATUS_OK)
        s = plan_source(queue, r, plan, job, epochs, err);
    if (s != STATUS_OK || id == 0)
        return s;
    s = find_other(queue, id, &other, err);
    if (s == STATUS_OK)
        s = plan_source(queue, r, plan, &other, epochs, err);
    job_clear(&other);
    return s;
}

/* --- images --- */

/* The images of a job's split. */
typedef struct SplitImages {
    const Dataset *dataset;
    const Job *job;
    Split split;
    uint64_t count;
    Loader loader; /* where the order is a permutation; else zeroed */
} SplitImages;

static Status split_open(const DataParams *params, const Dataset *dataset, const Job *job,
                         Split split, SplitImages *ret, Error *err)
{
    DataSpec spec = data_params_spec(params);
    uint64_t images[SPLIT_COUNT];

    data_params_images(params, images);
    *ret = (SplitImages){ .dataset = dataset, .job = job, .split = split, .count = images[split] };
    return split == SPLIT_TEST || spec.val_images == 0
               ? STATUS_OK
               : loader_init(&ret->loader, dataset, &spec, err);
}

static Status find_image(const SplitImages *images, uint32_t item, PlannedImage *ret, Error *err)
{
    const Dataset *d = images->dataset;
    const ImageSet *set = images->split == SPLIT_TEST ? &d->test : &d->train;
    const uint32_t *index = images->loader.index[images->split];
    uint32_t at = item;

    if (item >= images->count)
        return error_set(err, STATUS_NOT_FOUND,
                         "split \"%s\" of job %lld has %llu images: there is no image %u",
                         split_names[images->split], (long long)images->job->id,
                         (unsigned long long)images->count, item);
    if (index != NULL)
        at = index[item];
    if (at >= set->images)
        return error_at(err, STATUS_INVALID, "/dataset",
                        "data set \"%s\" has only %u images there now", d->name, set->images);
    *ret = (PlannedImage){ set->pixels + (size_t)at * d->height * d->width * d->channels, item,
                           set->labels[at] };
    return STATUS_OK;
}

/* What would be too large with a single column need not be hashed. */
static Status check_pixels(const MapsRequest *r, const Dataset *d, uint32_t images, Error *err)
{
    uint64_t cell = (uint64_t)d->height * d->width * r->render.scale * r->render.scale;

    if (r->what != MAPS_CONTACT || 2 * cell * images <= CANVAS_PIXELS_MAX)
        return STATUS_OK;
    return error_at(err, STATUS_INVALID, "/scale",
                    "%u images and a map of each have more than %d pixels: ask for fewer images or "
                    "a smaller scale",
                    images, CANVAS_PIXELS_MAX);
}

static Status plan_images(Queue *queue, const MapsRequest *r, const Job *job, MapsPlan *plan,
                          Error *err)
{
    uint32_t count = r->what == MAPS_CONTACT ? r->contact.images : 1;
    SplitImages split;
    DataParams params;
    Status s = data_params_of(job->params, &params, err);

    if (s == STATUS_OK)
        s = data_params_open(&params, queue_datasets(queue), &plan->dataset, err);
    if (s != STATUS_OK)
        return s;
    s = check_pixels(r, plan->dataset, count, err);
    if (s != STATUS_OK)
        return s;
    plan->image = calloc(count, sizeof *plan->image);
    if (plan->image == NULL)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a request");
    s = split_open(&params, plan->dataset, job, r->split, &split, err);
    for (; plan->images < count && s == STATUS_OK; plan->images++)
        s = find_image(&split, r->what == MAPS_CONTACT ? r->contact.image[plan->images] : r->image,
                       &plan->image[plan->images], err);
    loader_clear(&split.loader);
    return s;
}

/* --- the key --- */

Status key_begin(KeyText *key, Error *err)
{
    *key = (KeyText){ .text = NULL };
    key->out = open_memstream(&key->text, &key->size);
    if (key->out == NULL)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a request");
    fprintf(key->out, "leased %s %s %s\n", build_id, run_kernels(), gemm_core_name());
    return STATUS_OK;
}

void key_put_maps(KeyText *key, const MapsRequest *r)
{
    fprintf(key->out, "method %s\nlayer %s\nclass %lld\nsigned %d flips %d\nseed %llu\n",
            cam_table[r->method]->described.name, r->layer, (long long)r->class_index,
            (int)r->signed_map, (int)r->flips, (unsigned long long)r->seed);
}

void key_put_render(KeyText *key, const MapsRequest *r)
{
    fprintf(key->out, "scale %u blend %a colormap %s\n", r->render.scale, (double)r->render.blend,
            colormap_names[r->render.colormap]);
}

Status key_end(KeyText *key, char ret[SHA256_HEX], Error *err)
{
    Status s = STATUS_OK;

    if (fclose(key->out) != 0)
        s = error_set(err, STATUS_NO_MEMORY, "no memory for a request");
    if (s == STATUS_OK)
        s = sha256_bytes(key->text, key->size, ret, err);
    free(key->text);
    return s;
}

static void put_networks(KeyText *key, const MapsPlan *plan)
{
    for (uint32_t i = 0; i < plan->networks; i++)
        fprintf(key->out, "network %s %s\n", plan->network[i].checkpoint.sha256,
                plan->network[i].part);
}

/* The bytes, and what is said of them. An image's number keys what a method draws. */
static Status put_images(KeyText *key, const MapsPlan *plan, Error *err)
{
    const Dataset *d = plan->dataset;
    char digest[SHA256_HEX];
    Status s = STATUS_OK;

    for (uint32_t i = 0; i < plan->images && s == STATUS_OK; i++) {
        const PlannedImage *image = &plan->image[i];

        s = sha256_bytes(image->pixels, (size_t)d->height * d->width * d->channels, digest, err);
        fprintf(key->out, "image %u %s %ux%ux%u %u %s\n", image->position, digest, d->height,
                d->width, d->channels, image->label, d->class_names[image->label]);
    }
    return s;
}

static void put_contact(KeyText *key, const MapsRequest *r, const MapsPlan *plan)
{
    const ContactSpec *c = &r->contact;
    const Dataset *d = plan->dataset;

    fprintf(key->out, "by %s split %s\n", contact_by_names[c->by], split_names[r->split]);
    for (uint32_t i = 0; i < c->values; i++)
        if (c->by == BY_METHODS)
            fprintf(key->out, "%s\n", cam_table[c->number[i]]->described.name);
        else if (c->by == BY_CLASSES)
            fprintf(key->out, "%u\n", c->number[i]);
        else
            fprintf(key->out, "%s\n", c->name[i]);
    for (uint32_t i = 0; i < plan->networks; i++)
        fprintf(key->out, "title %s %u\n", plan->network[i].title,
                plan->network[i].checkpoint.epoch);
    for (uint32_t k = 0; k < d->classes; k++)
        fprintf(key->out, "is %s\n", d->class_names[k]);
}

static Status put_upload(KeyText *key, const MapsRequest *r, MapsPlan *plan, Error *err)
{
    Status s = sha256_bytes(r->upload.data, r->upload.size, plan->upload_sha256, err);

    fprintf(key->out, "upload %s\n", plan->upload_sha256);
    return s;
}

static Status make_key(const MapsRequest *r, MapsPlan *plan, Error *err)
{
    KeyText key;
    Status s = key_begin(&key, err), end;

    if (s != STATUS_OK)
        return s;
    fprintf(key.out, "what %d\n", (int)r->what);
    put_networks(&key, plan);
    s = r->what == MAPS_UPLOAD ? put_upload(&key, r, plan, err) : put_images(&key, plan, err);
    if (r->what != MAPS_LAYERS)
        key_put_maps(&key, r);
    if (r->what == MAPS_PNG || r->what == MAPS_CONTACT)
        key_put_render(&key, r);
    if (r->what == MAPS_CONTACT)
        put_contact(&key, r, plan);
    end = key_end(&key, plan->key, s == STATUS_OK ? err : NULL);
    return s == STATUS_OK ? end : s;
}

static Status plan(Queue *queue, const MapsRequest *r, MapsPlan *ret, Error *err)
{
    Job job = { 0 };
    Status s = store_job_get(queue_store(queue), r->job, &job, err);

    if (s == STATUS_OK)
        s = plan_networks(queue, r, ret, &job, err);
    if (s == STATUS_OK && r->what != MAPS_LAYERS && r->what != MAPS_UPLOAD)
        s = plan_images(queue, r, &job, ret, err);
    job_clear(&job);
    return s == STATUS_OK ? make_key(r, ret, err) : s;
}

Status maps_plan(Queue *queue, const MapsRequest *r, MapsPlan *ret, Error *err)
{
    MapsPlan made = { .networks = 0 };
    Error why = { 0 };
    Status s = plan(queue, r, &made, &why);

    if (s == STATUS_OK) {
        *ret = made;
        return s;
    }
    maps_plan_clear(&made);
    if (r->what != MAPS_UPLOAD)
        return error_at(err, s, why.detail[0].pointer, "%s", error_message(&why));
    /* Its job stands in a document, and not in the address. */
    return error_at(err, s == STATUS_NOT_FOUND ? STATUS_INVALID : s, "/checkpoint", "%s",
                    error_message(&why));
}

void maps_plan_clear(MapsPlan *plan)
{
    free(plan->network);
    free(plan->image);
    *plan = (MapsPlan){ .networks = 0 };
}
