/* maps_private -- how the files maps*.c share the work: a request is planned (any thread), its
 * networks are opened, its answer is computed (the maps' thread). */
#pragma once

#include <stdio.h>

#include "server/jobs/job_images.h"
#include "server/jobs/maps.h"

/* --- maps_plan.c: what a request is about. Any thread. --- */

typedef struct PlannedNetwork {
    Checkpoint checkpoint;
    char part[16]; /* "explainer", "audience", or "": all there is */
    char title[48];
} PlannedNetwork;

typedef struct PlannedImage {
    const uint8_t *pixels; /* [H,W,C], in the data set */
    uint32_t position;     /* in the split */
    uint16_t label;
} PlannedImage;

typedef struct MapsPlan {
    PlannedNetwork *network; /* owned; of a sheet by source and then by epoch */
    uint32_t networks, sources, epochs;
    const Dataset *dataset; /* of the images; lives as long as the process */
    PlannedImage *image;    /* owned */
    uint32_t images;
    char upload_sha256[SHA256_HEX]; /* of MAPS_UPLOAD, whose picture is hashed here */
    char key[SHA256_HEX];
} MapsPlan;

/* Errors as of maps_key(). Not of MAPS_SHEET and MAPS_STORED. */
CHECKED Status maps_plan(Queue *queue, const MapsRequest *request, MapsPlan *ret, Error *err);
void maps_plan_clear(MapsPlan *plan);

/* Text that is hashed: what an answer depends on, a line each. */
typedef struct KeyText {
    char *text;
    size_t size;
    FILE *out;
} KeyText;

/* Begins with what this program is. */
CHECKED Status key_begin(KeyText *key, Error *err);
/* What the request says of how maps are made; and how pictures of them are drawn. */
void key_put_maps(KeyText *key, const MapsRequest *request);
void key_put_render(KeyText *key, const MapsRequest *request);
/* Ends it. */
CHECKED Status key_end(KeyText *key, char ret[SHA256_HEX], Error *err);

/* --- maps_networks.c: the networks of the last checkpoints, kept open. One thread. --- */

enum { NETWORKS_OPEN = 2 };

typedef struct OpenNetwork {
    char sha256[SHA256_HEX], part[16];
    Explainer *explainer;
    uint64_t used;
} OpenNetwork;

typedef struct Networks {
    Store *store;
    Datasets *datasets;
    Pool *pool; /* borrowed */
    OpenNetwork open[NETWORKS_OPEN];
    uint64_t clock;
    int64_t seen_job; /* whose networks see `seen`; 0: none */
    bool composes;    /* else they see images as they are, and `seen` is empty */
    JobImages seen;
} Networks;

/* *ret lives until the next call. */
CHECKED Status networks_open(Networks *networks, const PlannedNetwork *network, Explainer **ret,
                             Error *err);
/* What the networks of that job see of images: NULL, the images. *ret lives until the next call. */
CHECKED Status networks_see(Networks *networks, int64_t job, JobImages **ret, Error *err);
void networks_clear(Networks *networks);

/* --- what computes: the maps' thread --- */

/* maps_answer.c */

/* The request's layers for explainer_map(); `names` [MAPS_LAYER_BYTES] is what *ret points into.
 * Methods that explain pixels take none. STATUS_INVALID at "/layer". */
CHECKED Status map_layers(const MapsRequest *request, char *names, MapRequest *ret, Error *err);
/* An open network, and the images that it is asked about. */
typedef struct Sight {
    Networks *networks;
    const PlannedNetwork *network;
    Explainer *explainer;
    const Dataset *dataset;
    Split split;
} Sight;

/* A map of an image as the network sees it: an audience's with its explanations. The rest as
 * map_pixels(). STATUS_INVALID at "/dataset" where it takes images of another size, at "/other"
 * where its job has another image in that place, at "/maps" where the explanations are gone. */
CHECKED Status map_image(const Sight *sight, const PlannedImage *image, MapRequest *map, bool maps,
                         HeatMap *ret, Error *err);
/* A map of `pixels` [H,W,C], which are of the network's size, normalised as it wants them; *map
 * says which, but for the image. `maps`: of every class, ret[explainer_classes()]. */
CHECKED Status map_pixels(Explainer *explainer, const uint8_t *pixels, MapRequest *map, bool maps,
                          HeatMap *ret, Error *err);
CHECKED Status draw_map(const MapsRequest *request, const HeatMap *map, const uint8_t *pixels,
                        uint32_t height, uint32_t width, uint32_t channels, Bytes *ret, Error *err);
/* MAPS_PNG, MAPS_NPY, MAPS_LAYERS. */
CHECKED Status answer_single(Networks *networks, const MapsRequest *request, const MapsPlan *plan,
                             MapsResult *result, Error *err);

/* maps_contact.c: MAPS_CONTACT; `context` is for request->abandoned. */
CHECKED Status answer_contact(Networks *networks, const MapsRequest *request, void *context,
                              const MapsPlan *plan, MapsResult *result, Error *err);

/* maps_upload.c: MAPS_UPLOAD and MAPS_STORED. */
CHECKED Status answer_upload(Queue *queue, Networks *networks, const MapsRequest *request,
                             const MapsPlan *plan, MapsResult *result, Error *err);
CHECKED Status answer_stored(Store *store, const MapsRequest *request, MapsResult *result,
                             Error *err);
/* The key of MAPS_STORED; any thread. */
CHECKED Status key_stored(Store *store, const MapsRequest *request, char ret[SHA256_HEX],
                          Error *err);
