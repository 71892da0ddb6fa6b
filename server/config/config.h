/*
 * config -- the settings of `leased serve`, from one table: each row is a flag, an environment
 * variable and a key of the --config file.
 *
 * --data-dir DIR, LEASED_DATA_DIR=DIR and {"data-dir": "DIR"} are the same setting; the flag wins
 * over the environment, the environment over the file, the file over the default. One thread, at
 * start.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "core/base/error.h"

enum { CONFIG_DATASETS_MAX = 64, CONFIG_WORKERS_MAX = 64, CONFIG_MEMORY_MIN = 1 << 20 };

typedef struct Config {
    char address[64]; /* an IP address: "127.0.0.1", "::1" */
    uint16_t port;    /* 0: picked by the system */
    char *data_dir;   /* owned, as the texts below */
    unsigned workers;
    char *datasets[CONFIG_DATASETS_MAX]; /* "NAME=PATH" */
    size_t dataset_count;
    uint64_t memory; /* bytes that one job may plan */
    char *kernels;   /* a kernel family's name; "": the best one */
} Config;

/*
 * argv: [argc] what follows `leased serve`. environment: as environ. STATUS_INVALID names the
 * setting and says what is allowed; STATUS_IO, STATUS_MALFORMED: the file. The caller ends *ret
 * with config_clear() on success.
 */
CHECKED Status config_load(int argc, char **argv, char **environment, Config *ret, Error *err);
void config_clear(Config *config);
/* One line a setting: flag, default, range, help. */
void config_usage(FILE *out);
/* Makes the folders above the data directory, which store_open() makes itself. */
CHECKED Status config_make_parents(const Config *config, Error *err);
