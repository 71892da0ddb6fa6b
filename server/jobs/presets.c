/* The files are read anew each time: they are a few hundred bytes, and asked for a few times a
 * day. */
#include "server/jobs/presets.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/embedded.h"
#include "server/codec/json.h"

extern const EmbeddedFile preset_files[]; /* schema/presets */

static json_t *read_preset(const EmbeddedFile *file)
{
    return json_loadb((const char *)file->bytes, file->size, 0, NULL);
}

json_t *presets_json(void)
{
    json_t *out = json_array();
    bool bad = out == NULL;

    for (const EmbeddedFile *file = preset_files; file->name != NULL; file++)
        bad |= json_array_append_new(out, read_preset(file)) != 0;
    if (bad) {
        json_decref(out);
        return NULL;
    }
    return out;
}

static const char *text_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

/* The preset of that name, to be freed; NULL where there is none. */
static json_t *find_preset(const char *name)
{
    size_t length = strlen(name);

    for (const EmbeddedFile *file = preset_files; file->name != NULL; file++)
        if (strncmp(file->name, name, length) == 0 && strcmp(file->name + length, ".json") == 0)
            return read_preset(file);
    return NULL;
}

static Status unknown(const char *name, Error *err)
{
    char known[160] = "";

    for (const EmbeddedFile *file = preset_files; file->name != NULL; file++) {
        size_t used = strlen(known);

        snprintf(known + used, sizeof known - used, "%s%.*s", used > 0 ? ", " : "",
                 (int)strcspn(file->name, "."), file->name);
    }
    return error_at(err, STATUS_INVALID, "/preset", "there is no preset \"%.40s\"; known are: %s",
                    name, known);
}

/* --- laying a job over it --- */

static Status merge(json_t *preset, const json_t *body, json_t **ret, Error *err)
{
    const char *kind = text_of(preset, "kind"), *said = text_of(body, "kind");
    json_t *out;

    if (json_object_get(body, "kind") != NULL && (said == NULL || strcmp(said, kind) != 0))
        return error_at(err, STATUS_INVALID, "/kind", "preset \"%s\" is of kind \"%s\"",
                        text_of(preset, "name"), kind);
    out = json_pack("{s:O, s:O}", "kind", json_object_get(preset, "kind"), "params",
                    json_object_get(preset, "params"));
    if (out == NULL || !json_lay_over(out, body)) {
        json_decref(out);
        return error_set(err, STATUS_NO_MEMORY, "cannot allocate a job");
    }
    *ret = out;
    return STATUS_OK;
}

Status preset_apply(const json_t *body, json_t **ret, Error *err)
{
    const char *name = text_of(body, "preset");
    json_t *preset;
    Status s;

    if (name == NULL) { /* or no text, which the parser refuses */
        *ret = json_incref((json_t *)body);
        return STATUS_OK;
    }
    preset = find_preset(name);
    if (preset == NULL)
        return unknown(name, err);
    s = merge(preset, body, ret, err);
    json_decref(preset);
    return s;
}

/* --- whose field it is --- */

/* What an RFC 6901 pointer points at; NULL: nothing. */
static const json_t *look_up(const json_t *at, const char *pointer)
{
    while (*pointer == '/' && at != NULL) {
        char key[ERROR_POINTER_MAX];
        size_t used = 0;

        for (pointer++; *pointer != '\0' && *pointer != '/' && used + 1 < sizeof key; pointer++) {
            if (pointer[0] == '~' && pointer[1] != '\0')
                key[used++] = *++pointer == '1' ? '/' : '~';
            else
                key[used++] = *pointer;
        }
        key[used] = '\0';
        at = json_is_array(at) ? json_array_get(at, strtoul(key, NULL, 10))
                               : json_object_get(at, key);
    }
    return at;
}

void preset_blame(const json_t *body, Error *err)
{
    const char *name = text_of(body, "preset");
    json_t *preset = name == NULL ? NULL : find_preset(name);

    for (uint32_t i = 0; preset != NULL && err != NULL && i < err->details; i++) {
        ErrorDetail *detail = &err->detail[i];
        size_t used = strlen(detail->message);

        if (look_up(body, detail->pointer) == NULL && look_up(preset, detail->pointer) != NULL)
            snprintf(detail->message + used, sizeof detail->message - used, " (of preset \"%s\")",
                     name);
    }
    json_decref(preset);
}
