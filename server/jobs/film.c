/*
 * The rows of the artefacts say which epochs there are, and their digests what is in them: so the
 * key of a picture needs no file. Frames are read, drawn and encoded one after the other.
 */
#include "server/jobs/film.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/build.h"
#include "core/data/canvas.h"
#include "server/codec/apng.h"
#include "server/codec/png.h"
#include "server/jobs/data_params.h"

const char *const film_forms[] = { "animation", "strip", NULL };

/* --- what there is --- */

static Status list_part(Store *store, int64_t job, const char *part, Artefact *ret,
                        size_t *ret_count, Error *err)
{
    char prefix[ARTEFACT_NAME_MAX];

    snprintf(prefix, sizeof prefix, "timelapse/%.15s%s", part, part[0] != '\0' ? "/" : "");
    return store_artefact_list(store, job, prefix, ret, TIMELAPSE_EPOCHS_MAX, ret_count, err);
}

/* The only network's, or the first's. */
static Status list_epochs(Store *store, int64_t job, const char *part, char ret_part[16],
                          Artefact *ret, size_t *ret_count, Error *err)
{
    size_t count = 0;
    Status s = list_part(store, job, part, ret, &count, err);

    snprintf(ret_part, 16, "%s", part);
    if (s == STATUS_OK && part[0] == '\0' && count == 0) {
        s = list_part(store, job, "explainer", ret, &count, err);
        if (count > 0)
            snprintf(ret_part, 16, "explainer");
    } else if (s == STATUS_OK && count == 0) {
        s = list_part(store, job, "", ret, &count, err);
        if (s == STATUS_OK && count > 0)
            s = error_at(err, STATUS_INVALID, "/model", "job %lld has one network, no \"%s\"",
                         (long long)job, part);
    }
    if (s == STATUS_OK)
        *ret_count = count;
    return s;
}

Status film_epochs(Store *store, int64_t job, const char *part, TimelapseParams *ret_params,
                   char ret_part[16], Artefact *ret, size_t *ret_count, Error *err)
{
    Job row = { 0 };
    Status s = store_job_get(store, job, &row, err);

    if (s == STATUS_OK)
        s = timelapse_params_of(row.params, ret_params, err);
    if (s == STATUS_OK && ret_params->images == 0)
        s = error_set(err, STATUS_NOT_FOUND, "job %lld was asked for no time-lapse",
                      (long long)job);
    job_clear(&row);
    return s == STATUS_OK ? list_epochs(store, job, part, ret_part, ret, ret_count, err) : s;
}

/* --- all that a picture depends on --- */

static bool has_image(const TimelapseParams *params, uint32_t image)
{
    for (uint32_t i = 0; i < params->images; i++)
        if ((uint32_t)params->image[i] == image)
            return true;
    return false;
}

static Status find_frames(Film *film, Error *err)
{
    FilmRequest *r = &film->request;
    TimelapseParams params;
    char part[16];
    Status s;

    film->frame = calloc(TIMELAPSE_EPOCHS_MAX, sizeof *film->frame);
    if (film->frame == NULL)
        return error_set(err, STATUS_NO_MEMORY, "cannot allocate a list of epochs");
    s = film_epochs(film->store, r->job, r->part, &params, part, film->frame, &film->frames, err);
    if (s == STATUS_OK && !has_image(&params, r->image))
        return error_set(err, STATUS_NOT_FOUND, "image %u is not in the time-lapse of job %lld",
                         r->image, (long long)r->job);
    if (s == STATUS_OK && film->frames == 0)
        return error_set(err, STATUS_CONFLICT, "no epoch of job %lld has ended yet",
                         (long long)r->job);
    return s;
}

/* A position among the test images is one in their files, too. */
static Status find_pixels(Film *film, Datasets *datasets, Error *err)
{
    const uint32_t image = film->request.image;
    const Dataset *d = NULL;
    DataParams params;
    Job job = { 0 };
    Status s = store_job_get(film->store, film->request.job, &job, err);

    if (s == STATUS_OK)
        s = data_params_of(job.params, &params, err);
    if (s == STATUS_OK)
        s = data_params_open(&params, datasets, &d, err);
    job_clear(&job);
    if (s == STATUS_OK && image >= d->test.images)
        s = error_at(err, STATUS_INVALID, "/dataset", "data set \"%s\" has only %u test images now",
                     d->name, d->test.images);
    if (s != STATUS_OK)
        return s;
    film->dataset = d;
    film->pixels = d->test.pixels + (size_t)image * d->height * d->width * d->channels;
    return STATUS_OK;
}

/* The scale that was asked for, or the largest that fits, FILM_SCALE at most. */
static Status find_scale(Film *film, Error *err)
{
    const uint64_t most =
        FILM_PIXELS_MAX / ((uint64_t)film->frames * film->dataset->height * film->dataset->width);
    uint32_t *scale = &film->request.render.scale, fits = 1;

    while ((uint64_t)(fits + 1) * (fits + 1) <= most && fits < RENDER_SCALE_MAX)
        fits++;
    if (*scale == 0)
        *scale = fits < FILM_SCALE ? fits : FILM_SCALE;
    return *scale <= fits ? STATUS_OK
                          : error_at(err, STATUS_INVALID, "/scale",
                                     "must be at most %u: %zu frames of %ux%u may have %d pixels",
                                     fits, film->frames, film->dataset->width,
                                     film->dataset->height, FILM_PIXELS_MAX);
}

static Status find_key(Film *film, Error *err)
{
    const FilmRequest *r = &film->request;
    const Dataset *d = film->dataset;
    char pixels[SHA256_HEX], *text = NULL;
    size_t size = 0;
    FILE *out;
    Status s = sha256_bytes(film->pixels, (size_t)d->height * d->width * d->channels, pixels, err);

    if (s != STATUS_OK)
        return s;
    out = open_memstream(&text, &size);
    if (out == NULL)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a key");
    fprintf(out, "leased %s film %u %ux%ux%u %s %d %u %u %a %d\n", build_id, r->image, d->height,
            d->width, d->channels, pixels, (int)r->form, r->form == FILM_ANIMATION ? r->fps : 0,
            r->render.scale, (double)r->render.blend, (int)r->render.colormap);
    for (size_t i = 0; i < film->frames; i++)
        fprintf(out, "%s\n", film->frame[i].sha256);
    if (fclose(out) != 0)
        s = error_set(err, STATUS_NO_MEMORY, "no memory for a key");
    else
        s = sha256_bytes(text, size, film->key, err);
    free(text);
    return s;
}

Status film_open(const FilmRequest *request, Store *store, Datasets *datasets, Film *ret,
                 Error *err)
{
    Film film = { .store = store, .request = *request };
    Status s = find_frames(&film, err);

    if (s == STATUS_OK)
        s = find_pixels(&film, datasets, err);
    if (s == STATUS_OK)
        s = find_scale(&film, err);
    if (s == STATUS_OK)
        s = find_key(&film, err);
    if (s != STATUS_OK)
        film_close(&film);
    else
        *ret = film;
    return s;
}

void film_close(Film *film)
{
    free(film->frame);
    *film = (Film){ 0 };
}

/* --- drawing --- */

/* The map of the film's image in an epoch's file, laid over the image. */
static Status draw_frame(const Film *film, size_t i, Rgb *ret, Error *err)
{
    const Dataset *d = film->dataset;
    char *path = store_artefact_file(film->store, &film->frame[i]);
    TimelapseEpoch e = { 0 };
    uint32_t at = 0;
    Status s = path == NULL ? error_set(err, STATUS_NO_MEMORY, "cannot allocate a path")
                            : timelapse_file_open(path, &e, err);

    free(path);
    if (s != STATUS_OK)
        return s;
    while (at < e.images && e.index[at] != film->request.image)
        at++;
    s = at == e.images ? error_set(err, STATUS_CORRUPT, "%s has no image %u", film->frame[i].path,
                                   film->request.image)
                       : render_heatmap(e.maps + (size_t)at * e.height * e.width, e.height, e.width,
                                        film->pixels, d->height, d->width, d->channels,
                                        &film->request.render, ret, err);
    timelapse_file_close(&e);
    return s;
}

/* The frames one after the other, each handed over and thrown away. */
static Status each_frame(const Film *film,
                         Status (*take)(void *context, size_t i, const Rgb *frame, Error *err),
                         void *context, Error *err)
{
    Status s = STATUS_OK;

    for (size_t i = 0; i < film->frames && s == STATUS_OK; i++) {
        Rgb frame = { 0 };

        s = draw_frame(film, i, &frame, err);
        if (s == STATUS_OK)
            s = take(context, i, &frame, err);
        rgb_clear(&frame);
    }
    return s;
}

static Status take_animated(void *context, size_t i, const Rgb *frame, Error *err)
{
    (void)i;
    return apng_add(context, frame->pixels, err);
}

static Status draw_animation(const Film *film, Bytes *ret, Error *err)
{
    const uint32_t scale = film->request.render.scale;
    Apng apng = { 0 };
    Status s = apng_begin(&apng, film->dataset->height * scale, film->dataset->width * scale,
                          (uint32_t)film->frames, film->request.fps, err);

    if (s == STATUS_OK)
        s = each_frame(film, take_animated, &apng, err);
    if (s == STATUS_OK)
        s = apng_end(&apng, ret, err);
    apng_clear(&apng);
    return s;
}

static Status take_beside(void *context, size_t i, const Rgb *frame, Error *err)
{
    (void)err;
    canvas_paste(context, frame->pixels, frame->height, frame->width, 0,
                 (uint32_t)i * (frame->width + FILM_GAP));
    return STATUS_OK;
}

static Status draw_strip(const Film *film, Bytes *ret, Error *err)
{
    const uint32_t scale = film->request.render.scale, frames = (uint32_t)film->frames;
    const uint32_t width = film->dataset->width * scale;
    Canvas canvas = { 0 };
    Status s = canvas_new(film->dataset->height * scale, frames * (width + FILM_GAP) - FILM_GAP,
                          &canvas, err);

    if (s == STATUS_OK)
        s = each_frame(film, take_beside, &canvas, err);
    if (s == STATUS_OK)
        s = png_encode_rgb(canvas.pixels, canvas.height, canvas.width, ret, err);
    canvas_clear(&canvas);
    return s;
}

Status film_draw(const Film *film, Bytes *ret, Error *err)
{
    return film->request.form == FILM_STRIP ? draw_strip(film, ret, err)
                                            : draw_animation(film, ret, err);
}
