/*
 * A contact sheet: a row an image, the image itself in front; a column for each value of what the
 * sheet goes by, and for each of the networks beside each other.
 *
 * The sheet is filled network by network, so that each is opened once, whatever order the columns
 * are in, and value by value. What a sheet goes by when nobody says (all classes, the stages, the
 * methods that cost a pass or two) is asked of the first network; of layers and methods those are
 * left out that it cannot be explained by. Between two images somebody may have stopped waiting.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/data/canvas.h"
#include "server/codec/png.h"
#include "server/jobs/maps_private.h"

enum { GAP = 6, TITLE_BYTES = 96 };

typedef struct Contact {
    Networks *networks;
    const MapsRequest *request;
    const MapsPlan *plan;
    uint32_t values; /* of the columns, for each source */
    uint32_t number[LIMIT_CELLS];
    char name[CONTACT_NAMES_MAX][LAYER_NAME_MAX];
    uint32_t cell_height, cell_width, zoom, heads; /* heads: lines above the columns */
    Canvas canvas;
} Contact;

const char *const contact_by_names[] = {
    [BY_CLASSES] = "classes", [BY_LAYERS] = "layers", [BY_EPOCHS] = "epochs",
    [BY_METHODS] = "methods", [BY_MODELS] = "models", NULL
};

/* --- the values --- */

static bool takes_layers(uint32_t method)
{
    unsigned needs = cam_table[method]->needs;

    return (needs & CAM_PIXELS) == 0 || (needs & CAM_GUIDED) != 0;
}

/* The map of one value of the columns; `names` as of map_layers(). */
static Status map_of(const Contact *c, uint32_t value, char *names, MapRequest *ret, Error *err)
{
    const MapsRequest *r = c->request;
    MapRequest map = { .method = r->method,
                       .class_index = r->class_index,
                       .signed_map = r->signed_map,
                       .flips = r->flips,
                       .seed = r->seed };
    Status s = map_layers(r, names, &map, err);

    if (r->contact.by == BY_CLASSES) {
        map.class_index = c->number[value];
    } else if (r->contact.by == BY_LAYERS) {
        map.layer[0] = c->name[value];
        map.layers = 1;
    } else if (r->contact.by == BY_METHODS) {
        map.method = c->number[value];
        if (!takes_layers(map.method))
            map.layers = 0;
    }
    if (s == STATUS_OK)
        *ret = map;
    return s;
}

static Sight sight_of(const Contact *c, uint32_t network, Explainer *explainer)
{
    return (Sight){ c->networks, &c->plan->network[network], explainer, c->plan->dataset,
                    c->request->split };
}

/* Whether the network can be explained so by the value behind the last so far; what else is wrong
 * will be said later. */
static bool suits(const Contact *c, Explainer *explainer)
{
    const Sight sight = sight_of(c, 0, explainer);
    bool picky = c->request->contact.by == BY_LAYERS;
    char names[MAPS_LAYER_BYTES];
    HeatMap heat = { 0 };
    Error err = { 0 };
    MapRequest map;
    Status s = map_of(c, c->values, names, &map, &err);

    if (s == STATUS_OK) {
        picky = picky || (cam_table[map.method]->needs & CAM_HEAD) != 0;
        s = map_image(&sight, &c->plan->image[0], &map, false, &heat, &err);
    }
    heatmap_clear(&heat);
    return s != STATUS_INVALID || !(strcmp(err.detail[0].pointer, "/method") == 0 ||
                                    (picky && strcmp(err.detail[0].pointer, "/layer") == 0));
}

static void all_classes(Contact *c, Explainer *explainer)
{
    c->values = explainer_classes(explainer); /* too many are refused by their number */
    for (uint32_t k = 0; k < c->values && k < LIMIT_CELLS; k++)
        c->number[k] = k;
}

/* "layer3"; deeper down: "cells.4". */
static bool is_stage(const LayerInfo *layer, bool deeper)
{
    const char *dot = strchr(layer->name, '.');

    if (layer->output.rank != 4 || (dot != NULL) != deeper)
        return false;
    return dot == NULL || strspn(dot + 1, "0123456789") == strlen(dot + 1);
}

static void all_layers(Contact *c, Explainer *explainer)
{
    uint32_t count;
    const LayerInfo *layers = explainer_layers(explainer, &count);

    for (int deeper = 0; deeper < 2 && c->values < 2; deeper++)
        for (uint32_t i = 0; i < count && c->values < CONTACT_NAMES_MAX; i++) {
            if (!is_stage(&layers[i], deeper != 0))
                continue;
            snprintf(c->name[c->values], LAYER_NAME_MAX, "%s", layers[i].name);
            if (suits(c, explainer))
                c->values++;
        }
}

static void cheap_methods(Contact *c, Explainer *explainer)
{
    for (uint32_t i = 0; cam_table[i] != NULL && c->values < LIMIT_CELLS; i++) {
        if ((cam_table[i]->needs & (CAM_SCORES | CAM_DELTA)) != 0 || cam_table[i]->samples > 0)
            continue;
        c->number[c->values] = i;
        if (suits(c, explainer))
            c->values++;
    }
}

static void default_values(Contact *c, Explainer *explainer)
{
    static void (*const all[])(Contact *, Explainer *) = {
        [BY_CLASSES] = all_classes, [BY_LAYERS] = all_layers, [BY_METHODS] = cheap_methods
    };

    if (c->request->contact.by == BY_EPOCHS)
        c->values = c->plan->epochs;
    else if (c->request->contact.by == BY_MODELS)
        c->values = 1;
    else if (c->values == 0)
        all[c->request->contact.by](c, explainer);
}

/* --- the layout --- */

static uint32_t columns_of(const Contact *c)
{
    return c->values * c->plan->sources;
}

/* Of the sheet, with the image in front as column 0. */
static uint32_t left_of(const Contact *c, uint32_t column)
{
    return GAP + column * (c->cell_width + GAP);
}

static uint32_t row_height(const Contact *c)
{
    return 2 * canvas_line(c->zoom) + c->cell_height + GAP;
}

/* Where the line above a row is. */
static uint32_t top_of(const Contact *c, uint32_t row)
{
    return GAP + c->heads * canvas_line(c->zoom) + row * row_height(c);
}

static Status lay_out(Contact *c, Error *err)
{
    const MapsRequest *r = c->request;
    const Dataset *d = c->plan->dataset;
    uint64_t cells = (uint64_t)c->plan->images * columns_of(c), height, width;

    if (cells > LIMIT_CELLS || c->values == 0)
        return error_at(err, STATUS_INVALID, "/images",
                        "the sheet would have %u x %u maps: 1 to %d in all; name fewer images or "
                        "the %s that you want",
                        c->plan->images, columns_of(c), LIMIT_CELLS,
                        contact_by_names[r->contact.by]);
    c->cell_height = d->height * r->render.scale;
    c->cell_width = d->width * r->render.scale;
    c->zoom = canvas_zoom(c->cell_width);
    c->heads = (r->contact.by != BY_MODELS) + (r->contact.by == BY_MODELS || c->plan->sources > 1);
    height = (uint64_t)top_of(c, 0) + (uint64_t)c->plan->images * row_height(c);
    width = GAP + (uint64_t)(1 + columns_of(c)) * (c->cell_width + GAP);
    if (height * width > CANVAS_PIXELS_MAX)
        return error_at(err, STATUS_INVALID, "/scale",
                        "the sheet would have %llu x %llu pixels: at most %d in all; ask for fewer "
                        "images or a smaller scale",
                        (unsigned long long)width, (unsigned long long)height, CANVAS_PIXELS_MAX);
    return canvas_new((uint32_t)height, (uint32_t)width, &c->canvas, err);
}

/* --- text --- */

static void put_text(Contact *c, const char *text, uint32_t width, uint32_t top, uint32_t left)
{
    canvas_text(&c->canvas, text, canvas_room(width, c->zoom), top, left, c->zoom);
}

static void value_title(const Contact *c, uint32_t value, char ret[TITLE_BYTES])
{
    const Dataset *d = c->plan->dataset;
    ContactBy by = c->request->contact.by;
    uint32_t number = c->number[value];

    if (by == BY_CLASSES && number < d->classes)
        snprintf(ret, TITLE_BYTES, "%u %s", number, d->class_names[number]);
    else if (by == BY_CLASSES)
        snprintf(ret, TITLE_BYTES, "%u", number);
    else if (by == BY_METHODS)
        snprintf(ret, TITLE_BYTES, "%s", cam_table[number]->described.name);
    else if (by == BY_EPOCHS)
        snprintf(ret, TITLE_BYTES, "epoch %u", c->plan->network[value].checkpoint.epoch);
    else
        snprintf(ret, TITLE_BYTES, "%s", c->name[value]);
}

static void draw_titles(Contact *c)
{
    const MapsPlan *plan = c->plan;
    uint32_t line = canvas_line(c->zoom);
    char title[TITLE_BYTES];

    for (uint32_t column = 0; column < columns_of(c); column++) {
        uint32_t value = column / plan->sources, source = column % plan->sources, top = GAP;
        uint32_t left = left_of(c, 1 + column);

        if (c->request->contact.by != BY_MODELS) {
            value_title(c, value, title);
            put_text(c, title, c->cell_width, top, left);
            top += line;
        }
        if (c->heads == 2 || c->request->contact.by == BY_MODELS)
            put_text(c, plan->network[source * plan->epochs].title, c->cell_width, top, left);
    }
    for (uint32_t i = 0; i < plan->images; i++) {
        snprintf(title, sizeof title, "%s %u: %s", split_names[c->request->split],
                 plan->image[i].position, plan->dataset->class_names[plan->image[i].label]);
        put_text(c, title, c->canvas.width - 2 * GAP, top_of(c, i), GAP);
    }
}

/* --- maps --- */

/* The score of the class, whose name stands above the column or in front, cut to fit. */
static void caption_of(const Contact *c, const HeatMap *heat, char ret[TITLE_BYTES])
{
    const Dataset *d = c->plan->dataset;
    const char *name = heat->class_index < d->classes ? d->class_names[heat->class_index] : "?";
    uint32_t room = canvas_room(c->cell_width, c->zoom);
    char score[32];
    int length =
        snprintf(score, sizeof score, "%.2f%s", (double)heat->score, heat->empty ? " empty" : "");

    if (c->request->contact.by == BY_CLASSES || room <= (uint32_t)length + 1)
        snprintf(ret, TITLE_BYTES, "%s", score);
    else
        snprintf(ret, TITLE_BYTES, "%.*s %s", (int)room - length - 1, name, score);
}

/* A map (NULL: nothing) over its image, and its score below. */
static Status draw_cell(Contact *c, uint32_t row, uint32_t column, const HeatMap *heat, Error *err)
{
    static const float nothing = 0;
    const Dataset *d = c->plan->dataset;
    RenderSpec spec = c->request->render;
    uint32_t top = top_of(c, row) + canvas_line(c->zoom), left = left_of(c, column);
    char caption[TITLE_BYTES];
    Rgb rgb = { 0 };
    Status s;

    if (heat == NULL)
        spec.blend = 0;
    s = render_heatmap(heat != NULL ? heat->values : &nothing, heat != NULL ? heat->height : 1,
                       heat != NULL ? heat->width : 1, c->plan->image[row].pixels, d->height,
                       d->width, d->channels, &spec, &rgb, err);
    if (s != STATUS_OK)
        return s;
    canvas_paste(&c->canvas, rgb.pixels, rgb.height, rgb.width, top, left);
    rgb_clear(&rgb);
    if (heat != NULL) {
        caption_of(c, heat, caption);
        put_text(c, caption, c->cell_width, top + c->cell_height + c->zoom, left);
    }
    return STATUS_OK;
}

/* The column of a value of the network's source. */
static uint32_t column_of(const Contact *c, uint32_t network, uint32_t value)
{
    return 1 + value * c->plan->sources + network / c->plan->epochs;
}

/* All classes cost less together than half of them one by one; and no more than one does where the
 * network is asked about changed inputs. */
static bool all_at_once(const Contact *c, const Explainer *explainer)
{
    return c->request->contact.by == BY_CLASSES && c->values > 1 &&
           (2 * c->values >= explainer_classes(explainer) ||
            (cam_table[c->request->method]->needs & CAM_SCORES) != 0);
}

static Status draw_classes(Contact *c, uint32_t network, Explainer *explainer, uint32_t row,
                           Error *err)
{
    const PlannedImage *image = &c->plan->image[row];
    const Sight sight = sight_of(c, network, explainer);
    uint32_t classes = explainer_classes(explainer);
    HeatMap *heat = calloc(classes, sizeof *heat);
    char names[MAPS_LAYER_BYTES];
    MapRequest map;
    Status s = heat == NULL ? error_set(err, STATUS_NO_MEMORY, "cannot allocate heat maps")
                            : map_of(c, 0, names, &map, err);

    for (uint32_t v = 0; v < c->values && s == STATUS_OK; v++)
        if (c->number[v] >= classes)
            s = error_at(err, STATUS_INVALID, "/class", "must be below %u, the number of classes",
                         classes);
    if (s == STATUS_OK) {
        map.item = image->position;
        s = map_image(&sight, image, &map, true, heat, err);
    }
    for (uint32_t v = 0; v < c->values && s == STATUS_OK; v++)
        s = draw_cell(c, row, column_of(c, network, v), &heat[c->number[v]], err);
    for (uint32_t k = 0; heat != NULL && k < classes; k++)
        heatmap_clear(&heat[k]);
    free(heat);
    return s;
}

static Status draw_value(Contact *c, uint32_t network, uint32_t value, Explainer *explainer,
                         uint32_t row, Error *err)
{
    const PlannedImage *image = &c->plan->image[row];
    const Sight sight = sight_of(c, network, explainer);
    char names[MAPS_LAYER_BYTES];
    HeatMap heat = { 0 };
    MapRequest map;
    Status s = map_of(c, value, names, &map, err);

    if (s == STATUS_OK) {
        map.item = image->position;
        s = map_image(&sight, image, &map, false, &heat, err);
    }
    if (s == STATUS_OK)
        s = draw_cell(c, row, column_of(c, network, value), &heat, err);
    heatmap_clear(&heat);
    return s;
}

/* What a list was to blame for is said of the list. */
static Status blame(const Contact *c, Status s, const Error *why, Error *err)
{
    static const char *const one[] = {
        [BY_CLASSES] = "/class", [BY_LAYERS] = "/layer", [BY_METHODS] = "/method"
    };
    ContactBy by = c->request->contact.by;
    const char *pointer = why->detail[0].pointer;
    char list[32];

    snprintf(list, sizeof list, "/%s", contact_by_names[by]);
    if (by < sizeof one / sizeof *one && one[by] != NULL && strcmp(pointer, one[by]) == 0)
        pointer = list;
    return error_at(err, s, pointer, "%s", error_message(why));
}

static Status go_on(const Contact *c, void *context, Error *err)
{
    const MapsRequest *r = c->request;

    if (r->abandoned == NULL || !r->abandoned(context))
        return STATUS_OK;
    return error_set(err, STATUS_STOPPED, "nobody waits for the sheet any more");
}

/* The cells of one network. One value after the other, because what is planned for one is of no use
 * to the next. */
static Status draw_network(Contact *c, uint32_t network, Explainer *explainer, void *context,
                           Error *err)
{
    bool together = all_at_once(c, explainer);
    Status s = STATUS_OK;

    for (uint32_t v = 0; v < (together ? 1 : c->values) && s == STATUS_OK; v++) {
        if (c->request->contact.by == BY_EPOCHS && v != network % c->plan->epochs)
            continue;
        for (uint32_t i = 0; i < c->plan->images && s == STATUS_OK; i++) {
            s = go_on(c, context, err);
            if (s == STATUS_OK)
                s = together ? draw_classes(c, network, explainer, i, err)
                             : draw_value(c, network, v, explainer, i, err);
        }
    }
    return s;
}

static Status fill(Contact *c, void *context, Error *err)
{
    Status s = STATUS_OK;

    for (uint32_t n = 0; n < c->plan->networks && s == STATUS_OK; n++) {
        Explainer *explainer = NULL;

        s = networks_open(c->networks, &c->plan->network[n], &explainer, err);
        if (s == STATUS_OK)
            s = draw_network(c, n, explainer, context, err);
    }
    return s;
}

static Status prepare(Contact *c, Error *err)
{
    Explainer *explainer = NULL;
    Status s = networks_open(c->networks, &c->plan->network[0], &explainer, err);

    if (s != STATUS_OK)
        return s;
    default_values(c, explainer);
    return lay_out(c, err);
}

Status answer_contact(Networks *networks, const MapsRequest *r, void *context, const MapsPlan *plan,
                      MapsResult *result, Error *err)
{
    Contact *c = calloc(1, sizeof *c);
    Error why = { 0 };
    Status s;

    if (c == NULL)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a sheet");
    c->networks = networks;
    c->request = r;
    c->plan = plan;
    c->values = r->contact.values;
    memcpy(c->number, r->contact.number, sizeof c->number);
    memcpy(c->name, r->contact.name, sizeof c->name);
    s = prepare(c, &why);
    for (uint32_t i = 0; i < plan->images && s == STATUS_OK; i++)
        s = draw_cell(c, i, 0, NULL, &why);
    if (s == STATUS_OK)
        s = fill(c, context, &why);
    if (s == STATUS_OK) {
        draw_titles(c);
        s = png_encode_rgb(c->canvas.pixels, c->canvas.height, c->canvas.width, &result->bytes,
                           &why);
    }
    if (s != STATUS_OK)
        s = blame(c, s, &why, err);
    canvas_clear(&c->canvas);
    free(c);
    return s;
}
