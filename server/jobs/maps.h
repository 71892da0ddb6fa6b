/*
 * maps -- pictures while somebody waits, heat maps above all: one interactive thread, a bounded
 * queue, the last explainers kept open, and the last answers in memory.
 *
 * HTTP threads look an answer up under the digest of all that it depends on (maps_key(),
 * maps_cached()); what is not there they hand over, and suspend the connection. Everything that
 * costs (the network, decoding, drawing, encoding) happens on this thread, which runs at the
 * niceness of the process. Any thread may call any of these.
 */
#pragma once

#include "core/data/loader.h"
#include "core/explain/explainer.h"
#include "core/explain/render.h"
#include "server/codec/bytes.h"
#include "server/codec/limits.h"
#include "server/jobs/film.h"
#include "server/jobs/queue.h"
#include "server/jobs/sheets.h"

typedef struct Maps Maps;

enum {
    MAPS_QUEUE_MAX = 16,
    MAPS_LAYER_BYTES = MAP_LAYERS_MAX * LAYER_NAME_MAX,
    MAPS_WHICH_BYTES = 16,
    CONTACT_NAMES_MAX = 64,
};

typedef enum MapsWhat {
    MAPS_PNG,     /* the map laid over its image */
    MAPS_NPY,     /* the raw map, float32 [h,w] */
    MAPS_LAYERS,  /* JSON {"items": [{"name", "shape"}], "next": null}; only `job`, `which` and
                     `part` matter */
    MAPS_CONTACT, /* many maps of many images, PNG: `contact` says which */
    MAPS_UPLOAD,  /* the picture in `upload`, explained and stored; nothing but result->explanation
                     comes back */
    MAPS_STORED,  /* the map of a stored explanation laid over its picture, PNG */
    MAPS_FILM,    /* a time-lapse, PNG; only `film` matters */
    MAPS_SHEET,   /* a sheet of augmented images, PNG; only `sheet` matters */
} MapsWhat;

/* What the columns of a contact sheet are. */
typedef enum ContactBy {
    BY_CLASSES,
    BY_LAYERS,
    BY_EPOCHS,
    BY_METHODS,
    BY_MODELS, /* the networks of a `lease`, or this job's and another's */
} ContactBy;
extern const char *const contact_by_names[]; /* "classes" and so on */

typedef struct ContactSpec {
    ContactBy by;
    uint32_t image[LIMIT_CELLS]; /* 0-based positions in the split */
    uint32_t images;
    uint32_t number[LIMIT_CELLS];                 /* by classes; by methods: rows of cam_table */
    char name[CONTACT_NAMES_MAX][LAYER_NAME_MAX]; /* by layers; by epochs: "latest", "3" */
    uint32_t values;                              /* of these; 0: all that make sense */
    int64_t other; /* a job whose network explains the same images beside this one's; 0: none */
} ContactSpec;

typedef struct MapsRequest {
    MapsWhat what;
    int64_t job;
    char which[MAPS_WHICH_BYTES]; /* "latest", "best" or an epoch's number */
    char part[16]; /* of a `lease`: "explainer" or "audience"; "": the first, or all there is */
    Split split;
    uint32_t image;               /* 0-based position in the split */
    char layer[MAPS_LAYER_BYTES]; /* several, with commas, are fused; "": the model's default */
    uint32_t method;              /* row of cam_table */
    int64_t class_index;          /* negative: the predicted one */
    bool signed_map, flips;
    uint64_t seed;
    RenderSpec render; /* of pictures */
    ContactSpec contact;
    int64_t explanation; /* of MAPS_STORED */
    Bytes upload;        /* of MAPS_UPLOAD: PNG or JPEG; maps_submit() takes it */
    FilmRequest film;
    SheetRequest sheet;
    /* True where nobody waits for the answer any more (NULL: somebody always does), of the context
     * given to maps_submit(). */
    bool (*abandoned)(void *context);
} MapsRequest;

typedef struct MapsResult {
    Bytes bytes; /* the callback may take it (and zero it); else it is freed after the callback */
    uint32_t class_index, predicted, label;
    float score; /* softmax probability of class_index */
    bool empty;  /* the map is zero everywhere */
    char checkpoint_sha256[SHA256_HEX];
    char key[SHA256_HEX]; /* of all that the answer depends on; "": MAPS_SHEET and MAPS_UPLOAD */
    int64_t explanation;  /* of MAPS_UPLOAD */
    bool is_new;          /* it was not there yet */
} MapsResult;

/*
 * Called once for each accepted request, on the maps' thread, from maps_free() at the latest. On
 * failure `result` is zeroed and `err` says why: STATUS_NOT_FOUND (job, image, checkpoint,
 * explanation), STATUS_CONFLICT (no checkpoint yet), STATUS_INVALID with pointer "/layer",
 * "/class", "/method", "/epoch", "/model", "/dataset", of sheets "/classes" and the like, "/other"
 * or "/scale", of an upload "/image", STATUS_BUSY (a data set is being read), STATUS_STOPPED
 * (shutting down, or abandoned). Those of MAPS_SHEET: sheets.h; of MAPS_FILM: film.h.
 */
typedef void (*MapsDone)(void *context, Status status, const Error *err, MapsResult *result);

CHECKED Status maps_new(Queue *queue, Maps **ret, Error *err);
/* Ends every waiting request with STATUS_STOPPED, then stops; before queue_free(). NULL is fine. */
void maps_free(Maps *maps);
/* Takes request->upload where it succeeds. STATUS_BUSY: the queue is full, try again; `done` is not
 * called then. */
CHECKED Status maps_submit(Maps *maps, const MapsRequest *request, MapsDone done, void *context,
                           Error *err);

/*
 * The digest of all that the answer depends on: checkpoints, the images' bytes and labels,
 * parameters, this program. Reads rows and hashes an image; not for MAPS_SHEET and MAPS_UPLOAD.
 * What is wrong with the request without looking into the network is found here, as above.
 */
CHECKED Status maps_key(Maps *maps, const MapsRequest *request, char ret[SHA256_HEX], Error *err);
/* A copy of the answer to that key, if it is still there. */
bool maps_cached(Maps *maps, const char *key, MapsResult *ret);

typedef struct MapsCounts {
    uint64_t cached, computed; /* answers so far */
    uint64_t entries, bytes;   /* of what is kept, at most LIMIT_PICTURE_BYTES */
} MapsCounts;

MapsCounts maps_counts(Maps *maps);
