/*
 * film -- the time-lapse of one image of a job, drawn: an animated PNG, a frame an epoch, or all
 * epochs side by side. Each frame has its own scale, as heat maps have.
 *
 * film_open() reads rows and knows all that the picture depends on; film_draw() computes: not on
 * HTTP threads. A Film belongs to one thread.
 */
#pragma once

#include "core/explain/render.h"
#include "server/codec/bytes.h"
#include "server/jobs/datasets.h"
#include "server/jobs/timelapse_file.h"
#include "server/store/jobs.h"

enum {
    FILM_FPS_MAX = 30,
    FILM_SCALE = 8,            /* unless that would be too many pixels */
    FILM_PIXELS_MAX = 1 << 23, /* of all frames together */
    FILM_GAP = 2,              /* pixels between two epochs of a strip */
};

typedef enum FilmForm { FILM_ANIMATION, FILM_STRIP } FilmForm;
extern const char *const film_forms[]; /* "animation", "strip" */

typedef struct FilmRequest {
    int64_t job;
    uint32_t image; /* 0-based position in the split `test` */
    char part[16];  /* of a `lease`: "explainer" or "audience"; "": the first, or all there is */
    FilmForm form;
    uint32_t fps;      /* frames a second, 1..FILM_FPS_MAX */
    RenderSpec render; /* scale 0: FILM_SCALE, or what fits */
} FilmRequest;

typedef struct Film {
    Store *store; /* borrowed */
    FilmRequest request;
    const Dataset *dataset; /* lives as long as `datasets` */
    const uint8_t *pixels;  /* of the image, there */
    Artefact *frame;        /* [frames] by epoch */
    size_t frames;
    char key[SHA256_HEX]; /* the digest of all that the picture depends on */
} Film;

/*
 * The epochs of a job that are there, in `ret` [TIMELAPSE_EPOCHS_MAX], of one network (part: as in
 * a FilmRequest; what it comes to goes to ret_part), and what was asked for. STATUS_NOT_FOUND: no
 * such job, or it was asked for no time-lapse; STATUS_INVALID at "/model": it has no such network.
 */
CHECKED Status film_epochs(Store *store, int64_t job, const char *part, TimelapseParams *ret_params,
                           char ret_part[16], Artefact *ret, size_t *ret_count, Error *err);

/* As above; STATUS_NOT_FOUND, too: the image is not among those. STATUS_CONFLICT: no epoch is there
 * yet. STATUS_BUSY: the data set is being read. STATUS_INVALID at "/scale": too many pixels. */
CHECKED Status film_open(const FilmRequest *request, Store *store, Datasets *datasets, Film *ret,
                         Error *err);
void film_close(Film *film); /* zeroed is fine */
/* The picture as a PNG. STATUS_CORRUPT: a file is not what it was. */
CHECKED Status film_draw(const Film *film, Bytes *ret, Error *err);
