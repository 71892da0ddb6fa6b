/*
 * Jansson recurses once a level, up to 2048 levels; a linear scan refuses deep nesting before it is
 * called, so that hostile input costs neither stack nor time. Jansson itself checks UTF-8 and
 * repeated keys, and refuses numbers that overflow a double.
 */
#include "server/codec/json.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server/codec/limits.h"

/* The deepest nesting of brackets outside strings; stops counting above LIMIT_JSON_DEPTH. */
static int nesting(const char *bytes, size_t size)
{
    int depth = 0, deepest = 0;
    bool quoted = false;

    for (size_t i = 0; i < size && deepest <= LIMIT_JSON_DEPTH; i++) {
        char c = bytes[i];

        if (quoted) {
            if (c == '\\')
                i++;
            else if (c == '"')
                quoted = false;
        } else if (c == '"') {
            quoted = true;
        } else if (c == '[' || c == '{') {
            if (++depth > deepest)
                deepest = depth;
        } else if (c == ']' || c == '}') {
            depth--;
        }
    }
    return deepest;
}

Status json_read(const char *bytes, size_t size, json_t **ret, Error *err)
{
    json_error_t why;
    json_t *value;

    if (size > LIMIT_BODY_BYTES)
        return error_set(err, STATUS_TOO_LARGE, "JSON of %zu bytes: at most %d are taken", size,
                         LIMIT_BODY_BYTES);
    if (nesting(bytes, size) > LIMIT_JSON_DEPTH)
        return error_set(err, STATUS_MALFORMED, "JSON nested deeper than %d levels",
                         LIMIT_JSON_DEPTH);
    value = json_loadb(bytes, size, JSON_REJECT_DUPLICATES, &why);
    if (value == NULL)
        return error_set(err, STATUS_MALFORMED, "not JSON: %s, line %d, column %d", why.text,
                         why.line, why.column);
    *ret = value;
    return STATUS_OK;
}

json_t *json_number(double value)
{
    if (isnan(value))
        return json_string("NaN");
    if (isinf(value))
        return json_string(value > 0 ? "Infinity" : "-Infinity");
    return json_real(value);
}

json_t *json_time_ms(int64_t unix_ms)
{
    time_t seconds = (time_t)(unix_ms / 1000);
    char text[40], whole[32];
    struct tm utc;

    if (unix_ms <= 0 || gmtime_r(&seconds, &utc) == NULL)
        return json_null();
    strftime(whole, sizeof whole, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(text, sizeof text, "%s.%03dZ", whole, (int)(unix_ms % 1000));
    return json_string(text);
}

/* Bytes of the valid UTF-8 sequence at `s`; 0 where there is none. */
static size_t sequence_bytes(const unsigned char *s)
{
    size_t length = s[0] < 0x80   ? 1
                    : s[0] < 0xc2 ? 0
                    : s[0] < 0xe0 ? 2
                    : s[0] < 0xf0 ? 3
                    : s[0] < 0xf5 ? 4
                                  : 0;

    for (size_t i = 1; i < length; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
        (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
        return 0;
    return length;
}

json_t *json_text(const char *text)
{
    char *copy = strdup(text);
    json_t *out;

    if (copy == NULL)
        return NULL;
    for (unsigned char *s = (unsigned char *)copy; *s != '\0';) {
        size_t length = sequence_bytes(s);

        if (length == 0)
            *s = '?';
        s += length == 0 ? 1 : length;
    }
    out = json_string(copy);
    free(copy);
    return out;
}

/* --- one object over another --- */

/* Whether `over` is to be merged into `base` key by key. */
static bool same_thing(const json_t *base, const json_t *over)
{
    const char *is = json_string_value(json_object_get(base, "name"));
    const char *said = json_string_value(json_object_get(over, "name"));

    return json_is_object(base) && json_is_object(over) &&
           (is == NULL || said == NULL || strcmp(is, said) == 0);
}

bool json_lay_over(json_t *base, const json_t *over)
{
    const char *key;
    json_t *value;
    bool ok = true;

    json_object_foreach((json_t *)over, key, value)
    {
        json_t *mine = json_object_get(base, key);

        ok &= same_thing(mine, value) ? json_lay_over(mine, value)
                                      : json_object_set(base, key, value) == 0;
    }
    return ok;
}
