/*
 * job_images -- the images of a job, as they are and as its networks take them: an audience's with
 * their explanations. Belongs to one thread at a time; not to be moved once job_images_see() was
 * called.
 */
#pragma once

#include "core/data/compose.h"
#include "core/explain/explainer.h"
#include "server/jobs/compose_params.h"
#include "server/store/jobs.h"

typedef struct JobImages {
    Loader loader;
    bool composed;     /* what the network takes is what `composer` makes */
    Composer composer; /* of an audience: borrows `files` and `loader` */
    MapFiles files;
    /* Of a lease whose audience takes all maps at once: raw images are those with maps of ones. */
    bool grouped;
    ComposeInput input;
    ReweightSpec reweight;
} JobImages;

/*
 * The images that the job uses, of a data set that lives as long as `datasets`. STATUS_CONFLICT: it
 * uses none; STATUS_BUSY: they are being read; STATUS_INVALID at "/dataset" and so on: they are not
 * what they were.
 */
CHECKED Status job_images_open(Datasets *datasets, const Job *job, JobImages *ret, Error *err);
/* Whether its networks may see something else than its images. */
bool job_images_composes(const Job *job);
/* What its networks see of them: to be called before job_images_input(). STATUS_INVALID at "/maps":
 * the explanations are gone, or others than they were. */
CHECKED Status job_images_see(JobImages *images, Store *store, const Job *job, Error *err);
/* An image as `network`, one of the job's, takes it: [H,W,C] normalised, to be freed.
 * STATUS_INVALID at "/dataset": the data set has other images than the network has learned from. */
CHECKED Status job_images_input(JobImages *images, const Explainer *network, Split split,
                                uint32_t item, float **ret, Error *err);
void job_images_clear(JobImages *images); /* zeroed is fine */
