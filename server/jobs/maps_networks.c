/* A page that shows a grid of maps opens its checkpoint once; two networks side by side stay open
 * both. The digest is checked whenever a file is opened. */
#include <stdlib.h>
#include <string.h>

#include "server/jobs/checkpoint_part.h"
#include "server/jobs/maps_private.h"

static Status open_file(const Networks *networks, const PlannedNetwork *network, Explainer **ret,
                        Error *err)
{
    char *path = store_checkpoint_file(networks->store, &network->checkpoint);
    Status s = path == NULL ? error_set(err, STATUS_NO_MEMORY, "cannot allocate a path")
                            : store_checkpoint_verify(networks->store, &network->checkpoint, err);

    if (s == STATUS_OK)
        s = checkpoint_explainer(networks->store, path, network->part, networks->pool, ret, err);
    free(path);
    return s;
}

Status networks_open(Networks *networks, const PlannedNetwork *network, Explainer **ret, Error *err)
{
    OpenNetwork *place = &networks->open[0];
    Status s;

    for (int i = 0; i < NETWORKS_OPEN; i++) {
        OpenNetwork *at = &networks->open[i];

        if (at->explainer != NULL && strcmp(at->sha256, network->checkpoint.sha256) == 0 &&
            strcmp(at->part, network->part) == 0) {
            at->used = ++networks->clock;
            *ret = at->explainer;
            return STATUS_OK;
        }
        if (at->used < place->used)
            place = at;
    }
    explainer_free(place->explainer); /* before the next is opened: two networks at most */
    *place = (OpenNetwork){ .used = 0 };
    s = open_file(networks, network, &place->explainer, err);
    if (s != STATUS_OK)
        return s;
    memcpy(place->sha256, network->checkpoint.sha256, sizeof place->sha256);
    memcpy(place->part, network->part, sizeof place->part);
    place->used = ++networks->clock;
    *ret = place->explainer;
    return STATUS_OK;
}

static Status look_at(Networks *networks, const Job *job, Error *err)
{
    Status s;

    if (!job_images_composes(job))
        return STATUS_OK;
    s = job_images_open(networks->datasets, job, &networks->seen, err);
    if (s == STATUS_OK)
        s = job_images_see(&networks->seen, networks->store, job, err);
    if (s != STATUS_OK)
        job_images_clear(&networks->seen);
    networks->composes = s == STATUS_OK;
    return s;
}

Status networks_see(Networks *networks, int64_t id, JobImages **ret, Error *err)
{
    Job job = { 0 };
    Status s = STATUS_OK;

    if (networks->seen_job != id) {
        job_images_clear(&networks->seen);
        networks->seen_job = 0;
        networks->composes = false;
        s = store_job_get(networks->store, id, &job, err);
        if (s == STATUS_OK)
            s = look_at(networks, &job, err);
        job_clear(&job);
    }
    if (s != STATUS_OK)
        return s;
    networks->seen_job = id;
    *ret = networks->composes ? &networks->seen : NULL;
    return STATUS_OK;
}

void networks_clear(Networks *networks)
{
    job_images_clear(&networks->seen);
    for (int i = 0; i < NETWORKS_OPEN; i++)
        explainer_free(networks->open[i].explainer);
    memset(networks->open, 0, sizeof networks->open);
}
