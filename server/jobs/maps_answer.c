/* One map of one image, and the list of a network's layers. */
#include <stdlib.h>
#include <string.h>

#include "server/codec/json.h"
#include "server/codec/npy.h"
#include "server/codec/png.h"
#include "server/jobs/maps_private.h"

Status map_layers(const MapsRequest *request, char *names, MapRequest *ret, Error *err)
{
    char *next = names;

    ret->layers = 0;
    memcpy(names, request->layer, sizeof request->layer);
    if (names[0] == '\0')
        return STATUS_OK;
    for (char *name; (name = strsep(&next, ",")) != NULL;) {
        if (ret->layers == MAP_LAYERS_MAX)
            return error_at(err, STATUS_INVALID, "/layer", "at most %d layers are fused",
                            MAP_LAYERS_MAX);
        ret->layer[ret->layers++] = name;
    }
    return STATUS_OK;
}

static Status check_input(const Explainer *explainer, const Dataset *d, Error *err)
{
    Shape in = explainer_input(explainer);

    if (in.dim[1] == d->height && in.dim[2] == d->width && in.dim[3] == d->channels)
        return STATUS_OK;
    return error_at(err, STATUS_INVALID, "/dataset",
                    "the model takes images of %ux%ux%u, data set \"%s\" has %ux%ux%u now",
                    in.dim[1], in.dim[2], in.dim[3], d->name, d->height, d->width, d->channels);
}

Status map_pixels(Explainer *explainer, const uint8_t *pixels, MapRequest *map, bool maps,
                  HeatMap *ret, Error *err)
{
    Shape in = explainer_input(explainer);
    const Dataset size = { .height = in.dim[1], .width = in.dim[2], .channels = in.dim[3] };
    Loader loader = { .dataset = &size };
    float *image = calloc((size_t)in.dim[1] * in.dim[2] * in.dim[3], sizeof *image);
    Status s;

    if (image == NULL)
        return error_set(err, STATUS_NO_MEMORY, "cannot allocate an image");
    loader_set_normal(&loader, explainer_mean(explainer), explainer_std(explainer));
    loader_normalise(&loader, pixels, image);
    map->image = image;
    s = maps ? explainer_maps(explainer, map, ret, err) : explainer_map(explainer, map, ret, err);
    map->image = NULL;
    free(image);
    return s;
}

/* The image as its job's networks see it, to be freed. */
static Status composed(const Sight *sight, JobImages *seen, const PlannedImage *image, float **ret,
                       Error *err)
{
    const Loader *loader = &seen->loader;

    if (image->position >= loader->images[sight->split] ||
        loader_pixels(loader, sight->split, image->position) != image->pixels)
        return error_at(err, STATUS_INVALID, "/other",
                        "job %lld has another image there than image %u of this one",
                        (long long)sight->network->checkpoint.job, image->position);
    return job_images_input(seen, sight->explainer, sight->split, image->position, ret, err);
}

Status map_image(const Sight *sight, const PlannedImage *image, MapRequest *map, bool maps,
                 HeatMap *ret, Error *err)
{
    Explainer *explainer = sight->explainer;
    JobImages *seen = NULL;
    float *input = NULL;
    Status s = networks_see(sight->networks, sight->network->checkpoint.job, &seen, err);

    if (s == STATUS_OK && seen == NULL) {
        s = check_input(explainer, sight->dataset, err);
        return s == STATUS_OK ? map_pixels(explainer, image->pixels, map, maps, ret, err) : s;
    }
    if (s == STATUS_OK)
        s = composed(sight, seen, image, &input, err);
    if (s != STATUS_OK)
        return s;
    map->image = input;
    s = maps ? explainer_maps(explainer, map, ret, err) : explainer_map(explainer, map, ret, err);
    map->image = NULL;
    free(input);
    return s;
}

Status draw_map(const MapsRequest *r, const HeatMap *map, const uint8_t *pixels, uint32_t height,
                uint32_t width, uint32_t channels, Bytes *ret, Error *err)
{
    Rgb rgb = { 0 };
    Status s = render_heatmap(map->values, map->height, map->width, pixels, height, width, channels,
                              &r->render, &rgb, err);

    if (s == STATUS_OK)
        s = png_encode_rgb(rgb.pixels, rgb.height, rgb.width, ret, err);
    rgb_clear(&rgb);
    return s;
}

static Status answer_layers(const Explainer *explainer, MapsResult *result, Error *err)
{
    uint32_t count;
    const LayerInfo *layers = explainer_layers(explainer, &count);
    json_t *items = json_array(), *body = json_pack("{s:O, s:n}", "items", items, "next");
    char *text;

    for (uint32_t i = 0; i < count; i++) {
        json_t *shape = json_array();

        for (uint32_t d = 1; d < layers[i].output.rank; d++)
            json_array_append_new(shape, json_integer(layers[i].output.dim[d]));
        json_array_append_new(items,
                              json_pack("{s:s, s:o}", "name", layers[i].name, "shape", shape));
    }
    text =
        body == NULL || json_array_size(items) != count ? NULL : json_dumps(body, JSON_WRITE_FLAGS);
    json_decref(items);
    json_decref(body);
    if (text == NULL)
        return error_set(err, STATUS_NO_MEMORY, "cannot allocate a list of layers");
    result->bytes = (Bytes){ (unsigned char *)text, strlen(text) };
    return STATUS_OK;
}

static Status answer_map(Networks *networks, Explainer *explainer, const MapsRequest *r,
                         const MapsPlan *plan, MapsResult *result, Error *err)
{
    const Dataset *d = plan->dataset;
    const Sight sight = { networks, &plan->network[0], explainer, d, r->split };
    const PlannedImage *image = &plan->image[0];
    char names[MAPS_LAYER_BYTES];
    MapRequest map = { .method = r->method,
                       .class_index = r->class_index,
                       .signed_map = r->signed_map,
                       .flips = r->flips,
                       .seed = r->seed,
                       .item = image->position };
    HeatMap heat = { 0 };
    Status s = map_layers(r, names, &map, err);

    if (s == STATUS_OK)
        s = map_image(&sight, image, &map, false, &heat, err);
    if (s != STATUS_OK)
        return s;
    result->class_index = heat.class_index;
    result->predicted = heat.predicted;
    result->label = image->label;
    result->score = heat.score;
    result->empty = heat.empty;
    s = r->what == MAPS_NPY
            ? npy_encode_f32(heat.values, heat.height, heat.width, &result->bytes, err)
            : draw_map(r, &heat, image->pixels, d->height, d->width, d->channels, &result->bytes,
                       err);
    heatmap_clear(&heat);
    return s;
}

Status answer_single(Networks *networks, const MapsRequest *r, const MapsPlan *plan,
                     MapsResult *result, Error *err)
{
    const PlannedNetwork *network = &plan->network[0];
    Explainer *explainer = NULL;
    Status s = networks_open(networks, network, &explainer, err);

    if (s != STATUS_OK)
        return s;
    memcpy(result->checkpoint_sha256, network->checkpoint.sha256, sizeof result->checkpoint_sha256);
    return r->what == MAPS_LAYERS ? answer_layers(explainer, result, err)
                                  : answer_map(networks, explainer, r, plan, result, err);
}
