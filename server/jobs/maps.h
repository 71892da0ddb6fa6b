/*
 * maps -- pictures while somebody waits, heat maps above all: one interactive thread, a bounded
 * queue, the last explainers kept open.
 *
 * HTTP threads hand a request over and suspend the connection; everything that costs (finding the
 * checkpoint, the network, drawing, encoding) happens on this thread, which runs at the niceness of
 * the process. Any thread may submit.
 */
#pragma once

#include "core/data/loader.h"
#include "core/explain/explainer.h"
#include "core/explain/render.h"
#include "server/codec/bytes.h"
#include "server/jobs/queue.h"
#include "server/jobs/sheets.h"

typedef struct Maps Maps;

enum { MAPS_QUEUE_MAX = 16 };

typedef enum MapsWhat {
    MAPS_PNG,    /* the map laid over its image */
    MAPS_NPY,    /* the raw map, float32 [h,w] */
    MAPS_LAYERS, /* JSON {"items": [{"name", "shape"}], "next": null}; only `job` and `which` matter
                  */
    MAPS_SHEET,  /* a sheet of augmented images, PNG; only `sheet` matters */
} MapsWhat;

typedef struct MapsRequest {
    MapsWhat what;
    int64_t job;
    char which[16]; /* "latest", "best" or an epoch's number */
    char part[16];  /* of a `lease`: "explainer" or "audience"; "": the first, or all there is */
    Split split;
    uint32_t image;             /* 0-based position in the split */
    char layer[LAYER_NAME_MAX]; /* "": the model's default */
    uint32_t cam;               /* row of cam_table */
    int64_t class_index;        /* negative: the predicted one */
    bool signed_map;
    RenderSpec render; /* of MAPS_PNG */
    SheetRequest sheet;
} MapsRequest;

typedef struct MapsResult {
    Bytes bytes; /* the callback may take it (and zero it); else it is freed after the callback */
    uint32_t class_index, predicted, label;
    float score; /* softmax probability of class_index */
    bool empty;  /* the map is zero everywhere */
    char checkpoint_sha256[SHA256_HEX];
} MapsResult;

/*
 * Called once for each accepted request, on the maps' thread, from maps_free() at the latest. On
 * failure `result` is zeroed and `err` says why: STATUS_NOT_FOUND (job, image, checkpoint),
 * STATUS_CONFLICT (no checkpoint yet), STATUS_INVALID with pointer "/layer", "/class", "/epoch",
 * "/model" or "/dataset", STATUS_BUSY (a data set is being read), STATUS_STOPPED (shutting down).
 * Those of MAPS_SHEET: sheets.h.
 */
typedef void (*MapsDone)(void *context, Status status, const Error *err, MapsResult *result);

CHECKED Status maps_new(Queue *queue, Maps **ret, Error *err);
/* Ends every waiting request with STATUS_STOPPED, then stops; before queue_free(). NULL is fine. */
void maps_free(Maps *maps);
/* STATUS_BUSY: the queue is full, try again; `done` is not called then. */
CHECKED Status maps_submit(Maps *maps, const MapsRequest *request, MapsDone done, void *context,
                           Error *err);
