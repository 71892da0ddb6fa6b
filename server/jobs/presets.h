/*
 * presets -- jobs that have a name: schema/presets/NAME.json, {"name", "summary", "kind",
 * "params"}, embedded.
 *
 * A job that names one is laid over it: objects are merged key by key, but an object with another
 * "name" replaces the preset's whole, as lists and everything else do. Pure functions: any thread.
 */
#pragma once

#include <jansson.h>

#include "core/base/error.h"

enum { PRESET_NAME_BYTES = 32 };

/* All of them, in the order of schema/meson.build; NULL when out of memory. The caller owns it. */
json_t *presets_json(void);

/*
 * The job that `body` says together with the preset it names; `body` itself where it names none.
 * The caller owns *ret. STATUS_INVALID: no such preset ("/preset", with those there are), or one of
 * another kind ("/kind").
 */
CHECKED Status preset_apply(const json_t *body, json_t **ret, Error *err);

/* Errors about fields that `body` does not have but its preset does say that it is the preset's
 * doing. */
void preset_blame(const json_t *body, Error *err);
