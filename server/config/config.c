/*
 * Each source is read whole into one text a setting (lists joined by commas), from the weakest to
 * the strongest, so that a later one replaces an earlier one; only then is the winner parsed. So a
 * message can say where a bad value came from.
 */
#include "server/config/config.h"

#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAME_MAX_BYTES = 64 };

typedef struct Setting {
    const char *name, *value_name, *fallback, *range, *help;
    bool repeatable;
    Status (*apply)(Config *config, const char *text, Error *err);
} Setting;

static Status apply_listen(Config *config, const char *text, Error *err)
{
    const char *colon = strrchr(text, ':'), *digits = colon != NULL ? colon + 1 : "";
    size_t length = colon != NULL ? (size_t)(colon - text) : 0,
           count = strspn(digits, "0123456789");
    unsigned long port = strtoul(digits, NULL, 10);
    char host[64];

    if (length == 0 || length >= sizeof host || count == 0 || count > 5 || digits[count] != '\0' ||
        port > 65535)
        return error_set(err, STATUS_INVALID,
                         "\"%.80s\" is not ADDRESS:PORT with a port from 0 to 65535", text);
    memcpy(host, text, length);
    host[length] = '\0';
    if (strcmp(host, "localhost") == 0)
        snprintf(host, sizeof host, "127.0.0.1");
    if (strcmp(host, "[::1]") == 0)
        snprintf(host, sizeof host, "::1");
    if (strcmp(host, "127.0.0.1") != 0 && strcmp(host, "::1") != 0)
        return error_set(err, STATUS_INVALID,
                         "%s is not a loopback address: anybody who reaches it could use the "
                         "daemon, and access tokens are "
                         "not available yet; listen on 127.0.0.1 or [::1]",
                         host);
    memcpy(config->address, host, sizeof host);
    config->port = (uint16_t)port;
    return STATUS_OK;
}

static Status apply_data_dir(Config *config, const char *text, Error *err)
{
    const char *share = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    int wrote;

    if (*text != '\0')
        wrote = asprintf(&config->data_dir, "%s", text);
    else if (share != NULL && share[0] == '/')
        wrote = asprintf(&config->data_dir, "%s/leased", share);
    else if (home != NULL && home[0] == '/')
        wrote = asprintf(&config->data_dir, "%s/.local/share/leased", home);
    else
        return error_set(err, STATUS_INVALID,
                         "there is no home directory: name a directory with --data-dir");
    if (wrote < 0) {
        config->data_dir = NULL;
        return error_set(err, STATUS_NO_MEMORY, "no memory for the settings");
    }
    return STATUS_OK;
}

static Status apply_workers(Config *config, const char *text, Error *err)
{
    size_t count = strspn(text, "0123456789");
    unsigned long value = strtoul(text, NULL, 10);

    if (count == 0 || count > 4 || text[count] != '\0' || value < 1 || value > CONFIG_WORKERS_MAX)
        return error_set(err, STATUS_INVALID, "\"%.40s\" is not a number from 1 to %d", text,
                         CONFIG_WORKERS_MAX);
    config->workers = (unsigned)value;
    return STATUS_OK;
}

/* "3221225472", "3G", "512M", "100K": powers of 1024. */
static Status apply_memory(Config *config, const char *text, Error *err)
{
    static const char suffixes[] = "KMGT";
    size_t digits = strspn(text, "0123456789");
    const char *suffix = text[digits] != '\0' ? strchr(suffixes, text[digits]) : NULL;
    uint64_t value = digits > 0 && digits < 18 ? strtoull(text, NULL, 10) : 0;
    unsigned shift = suffix != NULL ? 10 * (unsigned)(suffix - suffixes + 1) : 0;

    if (*text == '\0') {
        config->memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
        return STATUS_OK;
    }
    if (value == 0 || value > UINT64_MAX >> shift || text[digits + (suffix != NULL)] != '\0' ||
        value << shift < CONFIG_MEMORY_MIN)
        return error_set(err, STATUS_INVALID,
                         "\"%.40s\" is not a size of at least %dM, such as 3221225472, 3072M or 3G",
                         text, CONFIG_MEMORY_MIN >> 20);
    config->memory = value << shift;
    return STATUS_OK;
}

static Status apply_kernels(Config *config, const char *text, Error *err)
{
    config->kernels = strdup(text); /* what there is, the core knows */
    return config->kernels != NULL ? STATUS_OK
                                   : error_set(err, STATUS_NO_MEMORY, "no memory for the settings");
}

static Status apply_datasets(Config *config, const char *text, Error *err)
{
    while (*text != '\0') {
        size_t length = strcspn(text, ",");

        if (length > 0) {
            char *one = strndup(text, length), *equals = one != NULL ? strchr(one, '=') : NULL;

            if (one == NULL)
                return error_set(err, STATUS_NO_MEMORY, "no memory for the settings");
            if (equals == NULL || equals == one || equals[1] == '\0' ||
                config->dataset_count == CONFIG_DATASETS_MAX) {
                Status s = error_set(err, STATUS_INVALID,
                                     "\"%.80s\" is not NAME=PATH, or is one of more than %d", one,
                                     CONFIG_DATASETS_MAX);

                free(one);
                return s;
            }
            config->datasets[config->dataset_count++] = one;
        }
        text += length + (text[length] == ',');
    }
    return STATUS_OK;
}

static Status apply_file(Config *config, const char *text, Error *err)
{
    return STATUS_OK; /* read before everything else */
}

/* Order: that of the usage text. */
static const Setting settings[] = {
    { "listen", "ADDRESS:PORT", "127.0.0.1:8080", "a loopback address; port 0 picks one",
      "where to answer HTTP", false, apply_listen },
    { "data-dir", "DIR", "",
      "made if missing; default $XDG_DATA_HOME/leased or ~/.local/share/leased",
      "where jobs, metrics and checkpoints live", false, apply_data_dir },
    { "workers", "N", "1", "1 to 64", "jobs that run at the same time", false, apply_workers },
    { "dataset", "NAME=PATH", "", "repeatable; no commas in paths",
      "a data set on disk, and what jobs call it", true, apply_datasets },
    { "memory", "SIZE", "", "bytes, or with K, M, G or T; default: what the machine has",
      "what one job's plan may take; a larger one is refused", false, apply_memory },
    { "kernels", "NAME", "", "generic, avx2, avx512 or reference; default: the best this CPU runs",
      "family of numeric kernels", false, apply_kernels },
    { "config", "FILE", "", "JSON: {\"listen\": \"127.0.0.1:0\", \"dataset\": [\"NAME=PATH\"]}",
      "settings from a file", false, apply_file },
};

enum { SETTINGS = sizeof settings / sizeof settings[0], SETTING_CONFIG = SETTINGS - 1 };

/* What each setting was given last, and by whom. */
typedef struct Given {
    char *text;
    char source[NAME_MAX_BYTES + 16];
} Given;

static int setting_find(const char *name, size_t length)
{
    for (int i = 0; i < SETTINGS; i++)
        if (strlen(settings[i].name) == length && memcmp(settings[i].name, name, length) == 0)
            return i;
    return -1;
}

static Status give(Given *given, const char *text, const char *source, bool append, Error *err)
{
    char *joined = NULL;
    int wrote = append && given->text != NULL ? asprintf(&joined, "%s,%s", given->text, text)
                                              : asprintf(&joined, "%s", text);

    if (wrote < 0)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the settings");
    free(given->text);
    given->text = joined;
    snprintf(given->source, sizeof given->source, "%s", source);
    return STATUS_OK;
}

static Status read_flags(int argc, char **argv, Given *given, Error *err)
{
    for (int i = 0; i < argc; i++) {
        const char *flag = argv[i], *equals, *value;
        char source[NAME_MAX_BYTES];
        Status s;
        int row;

        if (strncmp(flag, "--", 2) != 0)
            return error_set(err, STATUS_INVALID, "unexpected argument \"%.80s\"", flag);
        equals = strchr(flag, '=');
        row =
            setting_find(flag + 2, equals != NULL ? (size_t)(equals - flag - 2) : strlen(flag + 2));
        if (row < 0)
            return error_set(err, STATUS_INVALID, "unknown flag \"%.80s\"", flag);
        value = equals != NULL ? equals + 1 : i + 1 < argc ? argv[++i] : NULL;
        if (value == NULL)
            return error_set(err, STATUS_INVALID, "--%s needs a value: %s", settings[row].name,
                             settings[row].value_name);
        snprintf(source, sizeof source, "--%s", settings[row].name);
        s = give(&given[row], value, source, settings[row].repeatable, err);
        if (s != STATUS_OK)
            return s;
    }
    return STATUS_OK;
}

/* "data-dir" -> "LEASED_DATA_DIR". */
static void variable_name(const char *name, char *ret, size_t size)
{
    size_t used = (size_t)snprintf(ret, size, "LEASED_");

    for (; *name != '\0' && used + 1 < size; name++)
        ret[used++] = *name == '-' ? '_' : (char)(*name - 'a' + 'A');
    ret[used] = '\0';
}

static Status read_environment(char **environment, Given *given, Error *err)
{
    Status s = STATUS_OK;

    for (int i = 0; i < SETTINGS && s == STATUS_OK; i++) {
        char name[NAME_MAX_BYTES];
        size_t length;

        variable_name(settings[i].name, name, sizeof name);
        length = strlen(name);
        for (char **e = environment; *e != NULL && s == STATUS_OK; e++)
            if (strncmp(*e, name, length) == 0 && (*e)[length] == '=')
                s = give(&given[i], *e + length + 1, name, false, err);
    }
    return s;
}

/* One value of the file as text: strings, whole numbers, lists of strings for what is repeatable.
 */
static Status give_json(Given *given, const Setting *setting, const json_t *value, const char *path,
                        Error *err)
{
    char number[32];
    Status s = STATUS_OK;

    if (json_is_integer(value)) {
        snprintf(number, sizeof number, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        return give(given, number, path, false, err);
    }
    if (json_is_string(value))
        return give(given, json_string_value(value), path, false, err);
    if (!json_is_array(value) || !setting->repeatable)
        return error_set(err, STATUS_INVALID, "%.80s: \"%s\" must be a string%s", path,
                         setting->name, setting->repeatable ? " or a list of strings" : "");
    for (size_t i = 0; i < json_array_size(value) && s == STATUS_OK; i++) {
        const char *text = json_string_value(json_array_get(value, i));

        s = text != NULL ? give(given, text, path, i > 0, err)
                         : error_set(err, STATUS_INVALID, "%.80s: \"%s\" must be a list of strings",
                                     path, setting->name);
    }
    return s;
}

static Status read_file(const char *path, Given *given, Error *err)
{
    json_error_t why;
    json_t *root;
    const char *key;
    json_t *value;
    FILE *in = fopen(path, "rb");
    Status s = STATUS_OK;

    if (in == NULL)
        return error_errno(err, STATUS_IO, "cannot read %.80s", path);
    root = json_loadf(in, JSON_REJECT_DUPLICATES, &why);
    fclose(in);
    if (!json_is_object(root)) {
        json_decref(root);
        return error_set(err, STATUS_MALFORMED, "%.80s is not a JSON object: %.80s, line %d", path,
                         root == NULL ? why.text : "something else", root == NULL ? why.line : 1);
    }
    json_object_foreach(root, key, value)
    {
        int row = setting_find(key, strlen(key));

        if (s == STATUS_OK)
            s = row < 0 || row == SETTING_CONFIG
                    ? error_set(err, STATUS_INVALID, "%.80s: unknown setting \"%.60s\"", path, key)
                    : give_json(&given[row], &settings[row], value, path, err);
    }
    json_decref(root);
    return s;
}

static Status apply_all(const Given *given, Config *config, Error *err)
{
    for (int i = 0; i < SETTINGS; i++) {
        const char *text = given[i].text != NULL ? given[i].text : settings[i].fallback;
        Error why = { 0 };
        Status s = settings[i].apply(config, text, &why);

        if (s != STATUS_OK)
            return error_set(err, s, "%s: %s",
                             given[i].text != NULL ? given[i].source : settings[i].name,
                             error_message(&why));
    }
    return STATUS_OK;
}

/* Where --config or LEASED_CONFIG names a file: it is the weakest source, so it is read into the
 * slots that nobody filled. */
static Status read_sources(int argc, char **argv, char **environment, Given *given, Error *err)
{
    Given file[SETTINGS] = { 0 }, flags[SETTINGS] = { 0 };
    Status s = read_environment(environment, given, err);

    if (s == STATUS_OK)
        s = read_flags(argc, argv, flags, err);
    for (int i = 0; i < SETTINGS && s == STATUS_OK; i++)
        if (flags[i].text != NULL)
            s = give(&given[i], flags[i].text, flags[i].source, false, err);
    if (s == STATUS_OK && given[SETTING_CONFIG].text != NULL &&
        given[SETTING_CONFIG].text[0] != '\0')
        s = read_file(given[SETTING_CONFIG].text, file, err);
    for (int i = 0; i < SETTINGS && s == STATUS_OK; i++)
        if (file[i].text != NULL && given[i].text == NULL)
            s = give(&given[i], file[i].text, file[i].source, false, err);
    for (int i = 0; i < SETTINGS; i++) {
        free(file[i].text);
        free(flags[i].text);
    }
    return s;
}

Status config_load(int argc, char **argv, char **environment, Config *ret, Error *err)
{
    Given given[SETTINGS] = { 0 };
    Config config = { 0 };
    Status s = read_sources(argc, argv, environment, given, err);

    if (s == STATUS_OK)
        s = apply_all(given, &config, err);
    for (int i = 0; i < SETTINGS; i++)
        free(given[i].text);
    if (s == STATUS_OK)
        *ret = config;
    else
        config_clear(&config);
    return s;
}

void config_clear(Config *config)
{
    free(config->data_dir);
    free(config->kernels);
    for (size_t i = 0; i < config->dataset_count; i++)
        free(config->datasets[i]);
    *config = (Config){ 0 };
}

void config_usage(FILE *out)
{
    for (int i = 0; i < SETTINGS; i++) {
        char name[NAME_MAX_BYTES], flag[NAME_MAX_BYTES];

        variable_name(settings[i].name, name, sizeof name);
        snprintf(flag, sizeof flag, "--%s %s", settings[i].name, settings[i].value_name);
        fprintf(out, "  %-24s %s%s%s\n  %-24s (%s; %s)\n", flag, settings[i].help,
                settings[i].fallback[0] != '\0' ? "; default " : "", settings[i].fallback, "",
                settings[i].range, name);
    }
}

Status config_make_parents(const Config *config, Error *err)
{
    char *path = strdup(config->data_dir);
    Status s = STATUS_OK;

    if (path == NULL)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a path");
    for (char *slash = strchr(path + 1, '/'); slash != NULL && s == STATUS_OK;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(path, 0700) != 0 && errno != EEXIST)
            s = error_errno(err, STATUS_IO, "cannot make %s", path);
        *slash = '/';
    }
    free(path);
    return s;
}
