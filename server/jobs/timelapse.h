/*
 * timelapse -- how attention moves while a network learns: after each epoch's checkpoint is
 * durable, the network in it explains a few test images, and their raw maps are kept as an artefact
 * of the job (timelapse_file.h); of a `lease`, those of both networks.
 *
 * It works from the job's row and from the checkpoint's file alone: the same for every kind, and
 * the same bytes however often the job was interrupted. It never fails a job: what cannot be made
 * is logged, counted, and missing. On the job's worker thread.
 */
#pragma once

#include "server/jobs/run.h"

/*
 * What the job asks for, once it has begun; NULL: nothing, or it cannot be had (which is logged).
 * Makes the maps of the last epoch that has a checkpoint, where a crash has come in between.
 */
Timelapse *timelapse_new(JobRun *run);
void timelapse_free(Timelapse *timelapse); /* NULL is fine */
/* That epoch's checkpoint is durable. NULL is fine. Left out where the job is to stop: who goes on
 * makes them. */
void timelapse_epoch(Timelapse *timelapse, JobRun *run, const Checkpoint *checkpoint);
