/* Any bytes as the target of a request for a heat map and for a contact sheet: within every bound,
 * or refused with the name of a parameter. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/api/heatmaps.h"
#include "server/http/parts.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void require(int holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "fuzz_query: %s\n", what);
        abort();
    }
}

static uint32_t methods(void)
{
    uint32_t count = 0;

    while (cam_table[count] != NULL)
        count++;
    return count;
}

static void check_sheet(const ContactSpec *c)
{
    require(c->images >= 1 && c->images <= LIMIT_CELLS, "images");
    require(c->by <= BY_MODELS && c->other >= 0, "by or other");
    require(c->values <=
                (c->by == BY_LAYERS || c->by == BY_EPOCHS ? CONTACT_NAMES_MAX : LIMIT_CELLS),
            "values");
    for (uint32_t i = 0; i < c->values; i++) {
        if (c->by == BY_METHODS)
            require(c->number[i] < methods(), "a method");
        if (c->by == BY_CLASSES)
            require(c->number[i] <= 65535, "a class");
        if (c->by == BY_LAYERS || c->by == BY_EPOCHS)
            require(c->name[i][0] != '\0' && memchr(c->name[i], '\0', sizeof c->name[i]) != NULL,
                    "a name");
    }
}

static void check_request(const MapsRequest *r)
{
    require(r->method < methods(), "method");
    require(r->class_index >= -1 && r->class_index <= 65535, "class");
    require(r->split < SPLIT_COUNT && r->render.colormap < COLORMAP_COUNT, "a word");
    require(r->render.scale >= 1 && r->render.scale <= RENDER_SCALE_MAX, "scale");
    require(r->render.blend >= 0 && r->render.blend <= 1, "blend");
    require(memchr(r->layer, '\0', sizeof r->layer) != NULL &&
                memchr(r->which, '\0', sizeof r->which) != NULL,
            "a text without an end");
    if (r->what == MAPS_CONTACT)
        check_sheet(&r->contact);
}

static void read_as(const char *target, MapsWhat what)
{
    Request req = { .method = METHOD_GET, .target = target };
    MapsRequest *request = calloc(1, sizeof *request);
    Error err = { 0 };
    Status s = request_parse_target(&req, &err);

    require(request != NULL, "out of memory");
    request->what = what;
    if (s == STATUS_OK)
        s = heatmap_query(&req, request, &err);
    if (s == STATUS_OK)
        check_request(request);
    else
        require(
            err.details > 0 && error_message(&err)[0] != '\0' &&
                (s == STATUS_MALFORMED || (s == STATUS_INVALID && err.detail[0].pointer[0] == '/')),
            "refused without a reason");
    free(request);
    request_clear(&req);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    char *target = strndup((const char *)bytes, size); /* up to the first NUL, as in HTTP */

    require(target != NULL, "out of memory");
    read_as(target, MAPS_PNG);
    read_as(target, MAPS_CONTACT);
    free(target);
    return 0;
}
