/*
 * Rows are counted, not stored: a row's number is that of its list item times the grid's size plus
 * its place in the grid, whose last key turns fastest. What a row sets is worked out when it is
 * asked for.
 */
#include "server/jobs/sweep_spec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/embedded.h"
#include "server/codec/json.h"
#include "server/codec/limits.h"

extern const EmbeddedFile sweep_files[]; /* schema/sweeps */

static const char *const known[] = { "preset", "name",   "base", "grid", "list",
                                     "seeds",  "metric", "at",   NULL };

/* One thing that a row sets. */
typedef struct Setting {
    const char *pointer;
    json_t *value;                 /* borrowed */
    char where[ERROR_POINTER_MAX]; /* it says so in the request: "/list/3/set/~1params~1x" */
} Setting;

enum { SETTINGS_MAX = SWEEP_SET_MAX + SWEEP_GRID_MAX, TOKEN_BYTES = 64 };

#define bad(err, at, ...) ((void)error_add(err, STATUS_INVALID, at, __VA_ARGS__))

/* ---- pointers ---- */

/* "/a~1b" -> "a/b", and moves *pointer behind it; false where it is too long. */
static bool next_token(const char **pointer, char ret[TOKEN_BYTES])
{
    const char *p = *pointer + 1;
    size_t used = 0;

    for (; *p != '\0' && *p != '/' && used + 1 < TOKEN_BYTES; p++) {
        if (p[0] == '~' && (p[1] == '0' || p[1] == '1'))
            ret[used++] = *++p == '1' ? '/' : '~';
        else
            ret[used++] = *p;
    }
    ret[used] = '\0';
    *pointer = p;
    return *p == '\0' || *p == '/';
}

/* `key` as a token, "~" and "/" escaped, behind what `ret` holds. */
static void add_token(char ret[ERROR_POINTER_MAX], const char *key)
{
    size_t used = strlen(ret);

    if (used + 3 < ERROR_POINTER_MAX)
        ret[used++] = '/';
    for (; *key != '\0' && used + 3 < ERROR_POINTER_MAX; key++) {
        if (*key == '~' || *key == '/') {
            ret[used++] = '~';
            ret[used++] = *key == '~' ? '0' : '1';
        } else {
            ret[used++] = *key;
        }
    }
    ret[used] = '\0';
}

/* Whether it may be set: what is wrong with it is said at `where`. */
static void check_pointer(const char *pointer, const char *where, Error *err)
{
    const char *rest = pointer;
    char token[TOKEN_BYTES];

    if (*pointer != '/' || strlen(pointer) >= ERROR_POINTER_MAX)
        bad(err, where, "must be a JSON pointer into the job, \"/params/...\", of at most %d bytes",
            ERROR_POINTER_MAX - 1);
    else if (strcmp(pointer, "/seed") == 0)
        bad(err, where, "is what the sweep's seeds are for");
    else
        while (*rest == '/')
            if (!next_token(&rest, token)) {
                bad(err, where, "has a key of more than %d bytes", TOKEN_BYTES - 1);
                return;
            }
}

/* The member of an object or a list; NULL: there is none. */
static json_t *member(json_t *of, const char *token)
{
    if (json_is_object(of))
        return json_object_get(of, token);
    return *token != '\0' && strspn(token, "0123456789") == strlen(token)
               ? json_array_get(of, strtoul(token, NULL, 10))
               : NULL;
}

/* False: it cannot be there. */
static bool put_member(json_t *of, const char *token, json_t *value)
{
    if (json_is_object(of))
        return json_object_set_new(of, token, value) == 0;
    if (member(of, token) == NULL) {
        json_decref(value);
        return false;
    }
    return json_array_set_new(of, strtoul(token, NULL, 10), value) == 0;
}

static Status set_one(json_t *root, const Setting *setting, Error *err)
{
    const char *rest = setting->pointer;
    char token[TOKEN_BYTES];
    json_t *at = root;
    bool ok = true;

    while (ok && next_token(&rest, token) && *rest == '/') {
        if (member(at, token) == NULL)
            ok = put_member(at, token, json_object());
        at = member(at, token);
    }
    /* A copy: what is set later may lie inside it. */
    if (ok && put_member(at, token, json_deep_copy(setting->value)))
        return STATUS_OK;
    return error_at(err, STATUS_INVALID, setting->where, "leads nowhere: there is no \"%s\" to set",
                    token);
}

/* ---- rows ---- */

static size_t grid_rows(const json_t *grid)
{
    size_t rows = 1;
    const char *key;
    json_t *values;

    json_object_foreach((json_t *)grid, key, values)
    {
        size_t count = json_array_size(values);

        rows = count > 0 && rows <= LIMIT_SWEEP_CELLS ? rows * count : rows;
    }
    return rows;
}

/* What the row sets, in order. */
static uint32_t settings_of(const SweepSpec *spec, uint32_t row, Setting ret[SETTINGS_MAX])
{
    const json_t *grid = json_object_get(spec->whole, "grid"),
                 *list = json_object_get(spec->whole, "list");
    uint32_t turn = (uint32_t)grid_rows(grid), item = row / turn, count = 0, place = row % turn;
    const char *key;
    json_t *value;

    json_object_foreach(json_object_get(json_array_get(list, item), "set"), key, value)
    {
        Setting *setting = &ret[count++];

        *setting = (Setting){ key, value, "" };
        snprintf(setting->where, sizeof setting->where, "/list/%u/set", item);
        add_token(setting->where, key);
    }
    json_object_foreach((json_t *)grid, key, value)
    {
        Setting *setting = &ret[count++];
        uint32_t choice;
        char number[16];

        turn /= (uint32_t)json_array_size(value);
        choice = place / turn;
        place %= turn;
        *setting = (Setting){ key, json_array_get(value, choice), "/grid" };
        add_token(setting->where, key);
        snprintf(number, sizeof number, "%u", choice);
        add_token(setting->where, number);
    }
    return count;
}

uint64_t sweep_spec_seed(const SweepSpec *spec, uint32_t column)
{
    return (uint64_t)json_integer_value(
        json_array_get(json_object_get(spec->whole, "seeds"), column));
}

json_t *sweep_spec_settings(const SweepSpec *spec, uint32_t row)
{
    Setting setting[SETTINGS_MAX];
    uint32_t count = settings_of(spec, row, setting);
    json_t *out = json_object();

    for (uint32_t i = 0; i < count; i++)
        if (json_object_set(out, setting[i].pointer, setting[i].value) != 0) {
            json_decref(out);
            return NULL;
        }
    return out;
}

/* "width=8": what a setting adds to a label that does not say it. */
static void add_to_label(char ret[SWEEP_LABEL_BYTES], const Setting *setting)
{
    const char *name = strrchr(setting->pointer, '/') + 1;
    char *text = json_dumps(setting->value, JSON_WRITE_FLAGS | JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
    size_t used = strlen(ret);

    snprintf(ret + used, SWEEP_LABEL_BYTES - used, "%s%s=%s", used > 0 ? ", " : "", name,
             text != NULL ? text : "");
    free(text);
}

void sweep_spec_label(const SweepSpec *spec, uint32_t row, char ret[SWEEP_LABEL_BYTES])
{
    const json_t *list = json_object_get(spec->whole, "list");
    uint32_t item = row / (uint32_t)grid_rows(json_object_get(spec->whole, "grid"));
    const char *label = json_string_value(json_object_get(json_array_get(list, item), "label"));
    bool said = label != NULL && *label != '\0';
    Setting setting[SETTINGS_MAX];
    uint32_t count = settings_of(spec, row, setting);

    snprintf(ret, SWEEP_LABEL_BYTES, "%s", said ? label : "");
    for (uint32_t i = 0; i < count; i++)
        if (!said || strncmp(setting[i].where, "/grid", 5) == 0)
            add_to_label(ret, &setting[i]);
    if (*ret == '\0')
        snprintf(ret, SWEEP_LABEL_BYTES, "base");
}

/* The name of a row's jobs: the label, behind the base's name if it has one. */
static json_t *job_name(const SweepSpec *spec, uint32_t row)
{
    const char *base =
        json_string_value(json_object_get(json_object_get(spec->whole, "base"), "name"));
    char label[SWEEP_LABEL_BYTES], name[JOB_NAME_BYTES];

    sweep_spec_label(spec, row, label);
    snprintf(name, sizeof name, "%.24s%s%s", base != NULL ? base : "",
             base != NULL && *base != '\0' ? ": " : "", label);
    return json_text(name);
}

Status sweep_spec_job(const SweepSpec *spec, uint32_t row, uint32_t column, json_t **ret,
                      Error *err)
{
    json_t *job = json_deep_copy(json_object_get(spec->whole, "base"));
    Setting setting[SETTINGS_MAX];
    uint32_t count = settings_of(spec, row, setting);
    Status s = STATUS_OK;

    if (json_object_set_new(job, "name", job_name(spec, row)) != 0 ||
        json_object_set_new(job, "seed", json_integer((json_int_t)sweep_spec_seed(spec, column))) !=
            0)
        s = error_set(err, STATUS_NO_MEMORY, "cannot allocate a job");
    for (uint32_t i = 0; i < count && s == STATUS_OK; i++)
        s = set_one(job, &setting[i], err);
    if (s == STATUS_OK)
        *ret = job;
    else
        json_decref(job);
    return s;
}

/* Whether `pointer` is `base`, or below it: what is left of it; NULL: it is not. */
static const char *below(const char *pointer, const char *base)
{
    size_t length = strlen(base);

    return strncmp(pointer, base, length) == 0 &&
                   (pointer[length] == '\0' || pointer[length] == '/')
               ? pointer + length
               : NULL;
}

void sweep_spec_blame(const SweepSpec *spec, uint32_t row, Error *err)
{
    Setting setting[SETTINGS_MAX];
    uint32_t count = settings_of(spec, row, setting);

    for (uint32_t i = 0; err != NULL && i < err->details; i++) {
        char *pointer = err->detail[i].pointer, said[2 * ERROR_POINTER_MAX] = "/base";
        const char *rest = pointer;

        for (uint32_t k = 0; k < count; k++) { /* the last that set it */
            const char *left = below(pointer, setting[k].pointer);

            if (left != NULL) {
                snprintf(said, sizeof said, "%s", setting[k].where);
                rest = left;
            }
        }
        snprintf(said + strlen(said), sizeof said - strlen(said), "%s", rest);
        snprintf(pointer, ERROR_POINTER_MAX, "%.*s", ERROR_POINTER_MAX - 1, said);
    }
}

/* ---- reading ---- */

static void read_text(const json_t *whole, const char *key, size_t capacity, char *ret, Error *err)
{
    const json_t *json = json_object_get(whole, key);
    char where[ERROR_POINTER_MAX] = "";

    add_token(where, key);
    if (json == NULL || json_is_null(json))
        return;
    if (!json_is_string(json) || json_string_length(json) >= capacity)
        bad(err, where, "must be a string of at most %zu bytes", capacity - 1);
    else
        snprintf(ret, capacity, "%s", json_string_value(json));
}

static void read_seeds(json_t *whole, SweepSpec *spec, Error *err)
{
    const json_t *seeds = json_object_get(whole, "seeds");
    char where[32];

    if (json_array_size(seeds) < 1 || json_array_size(seeds) > LIMIT_SWEEP_CELLS) {
        bad(err, "/seeds", "must be a list of 1 to %d seeds", LIMIT_SWEEP_CELLS);
        return;
    }
    spec->seeds = (uint32_t)json_array_size(seeds);
    for (uint32_t i = 0; i < spec->seeds; i++) {
        const json_t *seed = json_array_get(seeds, i);

        snprintf(where, sizeof where, "/seeds/%u", i);
        if (!json_is_integer(seed) || json_integer_value(seed) < 0 ||
            json_integer_value(seed) > 9007199254740991)
            bad(err, where, "must be an integer from 0 to 9007199254740991");
        for (uint32_t j = 0; j < i; j++)
            if (json_equal(json_array_get(seeds, j), seed))
                bad(err, where, "is there already");
    }
}

static void read_grid(const json_t *grid, Error *err)
{
    const char *key;
    json_t *values;

    if (!json_is_object(grid) || json_object_size(grid) > SWEEP_GRID_MAX) {
        bad(err, "/grid", "must be an object of at most %d pointers", SWEEP_GRID_MAX);
        return;
    }
    json_object_foreach((json_t *)grid, key, values)
    {
        char where[ERROR_POINTER_MAX] = "/grid";

        add_token(where, key);
        check_pointer(key, where, err);
        if (json_array_size(values) < 1)
            bad(err, where, "must be a list of at least one value");
    }
}

static void read_item(const json_t *item, size_t index, Error *err)
{
    const json_t *label = json_object_get(item, "label"), *set = json_object_get(item, "set");
    char where[ERROR_POINTER_MAX], field[ERROR_POINTER_MAX];
    const char *key;
    json_t *value;

    snprintf(where, sizeof where, "/list/%zu", index);
    if (!json_is_object(item)) {
        bad(err, where, "must be {\"label\": text, \"set\": {pointer: value}}");
        return;
    }
    json_object_foreach((json_t *)item, key, value)
    {
        snprintf(field, sizeof field, "%s", where);
        add_token(field, key);
        if (strcmp(key, "label") != 0 && strcmp(key, "set") != 0)
            bad(err, field, "unknown key; known are: label, set");
    }
    snprintf(field, sizeof field, "/list/%zu/label", index);
    if (label != NULL && (!json_is_string(label) || json_string_length(label) >= SWEEP_LABEL_BYTES))
        bad(err, field, "must be a string of at most %d bytes", SWEEP_LABEL_BYTES - 1);
    snprintf(field, sizeof field, "/list/%zu/set", index);
    if (set != NULL && (!json_is_object(set) || json_object_size(set) > SWEEP_SET_MAX)) {
        bad(err, field, "must be an object of at most %d pointers", SWEEP_SET_MAX);
        return;
    }
    json_object_foreach((json_t *)set, key, value)
    {
        snprintf(field, sizeof field, "/list/%zu/set", index);
        add_token(field, key);
        check_pointer(key, field, err);
    }
}

static void read_rows(json_t *whole, SweepSpec *spec, Error *err)
{
    const json_t *grid = json_object_get(whole, "grid"), *list = json_object_get(whole, "list");
    size_t items = json_array_size(list), rows;

    if (grid != NULL)
        read_grid(grid, err);
    if (list != NULL && !json_is_array(list))
        bad(err, "/list", "must be a list");
    for (size_t i = 0; i < items && i < LIMIT_SWEEP_CELLS; i++)
        read_item(json_array_get(list, i), i, err);
    rows = grid_rows(grid);
    if (items > LIMIT_SWEEP_CELLS || rows > LIMIT_SWEEP_CELLS ||
        rows * (items > 0 ? items : 1) * spec->seeds > LIMIT_SWEEP_CELLS)
        bad(err, "", "comes to more than %d jobs", LIMIT_SWEEP_CELLS);
    else
        spec->rows = (uint32_t)(rows * (items > 0 ? items : 1));
}

static void read_at(const json_t *whole, SweepSpec *spec, Error *err)
{
    const json_t *at = json_object_get(whole, "at");
    const char *name = at == NULL ? sweep_at_names[SWEEP_LAST] : json_string_value(at);

    for (int i = 0; i < SWEEP_AT_COUNT; i++)
        if (name != NULL && strcmp(name, sweep_at_names[i]) == 0) {
            spec->at = (SweepAt)i;
            return;
        }
    bad(err, "/at", "must be one of: last, best");
}

static void read_spec(json_t *whole, SweepSpec *spec, Error *err)
{
    const char *key;
    json_t *value;

    json_object_foreach(whole, key, value)
    {
        char where[ERROR_POINTER_MAX] = "";
        const char *const *name = known;

        add_token(where, key);
        while (*name != NULL && strcmp(*name, key) != 0)
            name++;
        if (*name == NULL)
            bad(err, where,
                "unknown key; known are: preset, name, base, grid, list, seeds, metric, at");
    }
    if (!json_is_object(json_object_get(whole, "base")))
        bad(err, "/base", "must be a job");
    snprintf(spec->metric, sizeof spec->metric, "test/accuracy");
    read_text(whole, "preset", sizeof spec->preset, spec->preset, err);
    read_text(whole, "name", sizeof spec->name, spec->name, err);
    read_text(whole, "metric", sizeof spec->metric, spec->metric, err);
    read_at(whole, spec, err);
    read_seeds(whole, spec, err);
    read_rows(whole, spec, err);
}

/* ---- presets ---- */

static json_t *read_preset(const EmbeddedFile *file)
{
    return json_loadb((const char *)file->bytes, file->size, 0, NULL);
}

json_t *sweep_presets_json(void)
{
    json_t *out = json_array();
    bool failed = out == NULL;

    for (const EmbeddedFile *file = sweep_files; file->name != NULL; file++)
        failed |= json_array_append_new(out, read_preset(file)) != 0;
    if (failed) {
        json_decref(out);
        return NULL;
    }
    return out;
}

/* The sweep of the preset of that name, to be freed; NULL where there is none. */
static json_t *find_preset(const char *name)
{
    size_t length = strlen(name);

    for (const EmbeddedFile *file = sweep_files; file->name != NULL; file++)
        if (strncmp(file->name, name, length) == 0 && strcmp(file->name + length, ".json") == 0) {
            json_t *preset = read_preset(file), *sweep = json_object_get(preset, "sweep");

            json_incref(sweep);
            json_decref(preset);
            return sweep;
        }
    return NULL;
}

static Status unknown_preset(const char *name, Error *err)
{
    char names[160] = "";

    for (const EmbeddedFile *file = sweep_files; file->name != NULL; file++) {
        size_t used = strlen(names);

        snprintf(names + used, sizeof names - used, "%s%.*s", used > 0 ? ", " : "",
                 (int)strcspn(file->name, "."), file->name);
    }
    return error_at(err, STATUS_INVALID, "/preset",
                    "there is no preset \"%.40s\" of sweeps; known are: %s", name, names);
}

/* The body laid over its preset, and over what is the default; a copy in any case. */
static Status lay_over(const json_t *body, json_t **ret, Error *err)
{
    const char *name = json_string_value(json_object_get(body, "preset"));
    json_t *whole = name == NULL ? json_object() : find_preset(name);

    if (whole == NULL && name != NULL)
        return unknown_preset(name, err);
    if (json_object_get(whole, "seeds") == NULL)
        (void)json_object_set_new(whole, "seeds", json_pack("[iii]", 0, 1, 2));
    if (whole == NULL || !json_lay_over(whole, body)) {
        json_decref(whole);
        return error_set(err, STATUS_NO_MEMORY, "cannot allocate a sweep");
    }
    *ret = whole;
    return STATUS_OK;
}

Status sweep_spec_parse(const json_t *body, SweepSpec *ret, Error *err)
{
    SweepSpec spec = { 0 };
    Error own = { 0 };
    Status s;

    if (!json_is_object(body))
        return error_set(err, STATUS_INVALID, "a sweep is a JSON object");
    s = lay_over(body, &spec.whole, err);
    if (s != STATUS_OK)
        return s;
    read_spec(spec.whole, &spec, &own);
    for (uint32_t i = 0; i < own.details; i++)
        (void)error_add(err, own.status, own.detail[i].pointer, "%s", own.detail[i].message);
    if (own.status == STATUS_OK)
        *ret = spec;
    else
        sweep_spec_clear(&spec);
    return own.status;
}

void sweep_spec_clear(SweepSpec *spec)
{
    json_decref(spec->whole);
    *spec = (SweepSpec){ 0 };
}
