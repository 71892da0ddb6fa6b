/* folder_layout -- gathered entries -> a Dataset: which folders are classes and splits, which order
 * the images come in. The rules are in dataset.h. Internal to the folder reader. */
#pragma once

#include "core/data/folder_gather.h"

/*
 * Sorts the entries, and counts those as skipped that lie in no class or come twice (the last one
 * counts, as when an archive is unpacked). STATUS_INVALID as in dataset_open().
 */
CHECKED Status folder_arrange(Gather *gather, Dataset **ret, Error *err);
