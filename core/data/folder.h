/* folder -- a folder of images per class, as a directory or an archive (dataset.h says more).
 * Internal to this folder. */
#pragma once

#include "core/data/dataset.h"

/* dataset_open() for whatever is not a directory in a CIFAR layout. */
CHECKED Status folder_open(const char *name, const char *path, const DatasetOptions *options,
                           Dataset **ret, Error *err);
