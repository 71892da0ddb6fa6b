/* config: where a setting comes from, and what is refused. */
#include "tests/unit/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/config/config.h"

static char *no_environment[] = { NULL };

static Status load(char **environment, Config *ret, Error *err, char *first, ...)
{
    char *argv[16] = { first };
    int argc = 0;
    va_list args;

    va_start(args, first);
    while (argv[argc] != NULL)
        argv[++argc] = va_arg(args, char *);
    va_end(args);
    return config_load(argc, argv, environment, ret, err);
}

static void the_defaults_are_loopback_and_one_worker(void **state)
{
    Config config;

    (void)state;
    assert_int_equal(load(no_environment, &config, NULL, NULL), STATUS_OK);
    assert_string_equal(config.address, "127.0.0.1");
    assert_int_equal(config.port, 8080);
    assert_int_equal(config.workers, 1);
    assert_int_equal(config.dataset_count, 0);
    assert_int_equal(config.memory,
                     (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE));
    assert_string_equal(config.kernels, "");
    assert_non_null(strstr(config.data_dir, "leased"));
    config_clear(&config);
}

static void the_flag_wins_over_the_environment_over_the_file(void **state)
{
    char path[] = "/tmp/leased-config-XXXXXX", variable[80];
    char *environment[] = { variable, "LEASED_WORKERS=3", "LEASED_DATASET=b=/b,c=/c", "OTHER=1",
                            NULL };
    int fd = mkstemp(path);
    Config config;

    (void)state;
    assert_true(fd >= 0);
    dprintf(fd, "{\"workers\": 2, \"listen\": \"[::1]:7\", \"data-dir\": \"/file\", \"dataset\": "
                "[\"a=/a\"]}");
    close(fd);
    snprintf(variable, sizeof variable, "LEASED_CONFIG=%s", path);
    assert_int_equal(load(environment, &config, NULL, "--data-dir=/flag", NULL), STATUS_OK);
    assert_string_equal(config.address, "::1");
    assert_int_equal(config.port, 7);
    assert_int_equal(config.workers, 3);
    assert_string_equal(config.data_dir, "/flag");
    assert_int_equal(config.dataset_count, 2);
    assert_string_equal(config.datasets[1], "c=/c");
    config_clear(&config);
    assert_int_equal(load(no_environment, &config, NULL, "--config", path, "--dataset", "x=/x",
                          "--dataset", "y=/y", NULL),
                     STATUS_OK);
    assert_int_equal(config.workers, 2);
    assert_int_equal(config.dataset_count, 2);
    assert_string_equal(config.datasets[0], "x=/x");
    config_clear(&config);
    unlink(path);
}

static void a_size_may_have_a_suffix(void **state)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } sizes[] = { { "1G", 1ull << 30 },
                  { "3072M", 3ull << 30 },
                  { "2048K", 2ull << 20 },
                  { "2T", 2ull << 40 },
                  { "1048576", 1 << 20 } };
    char *environment[] = { "LEASED_MEMORY=7M", "LEASED_KERNELS=generic", NULL };
    Config config;

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        assert_int_equal(load(environment, &config, NULL, "--memory", (char *)sizes[i].text, NULL),
                         STATUS_OK);
        assert_int_equal(config.memory, sizes[i].bytes);
        config_clear(&config);
    }
    assert_int_equal(load(environment, &config, NULL, NULL), STATUS_OK);
    assert_int_equal(config.memory, 7 << 20);
    assert_string_equal(config.kernels, "generic");
    config_clear(&config);
}

static void refuses(const char *word, char *flag, char *value)
{
    Error err = { 0 };
    Config config;

    assert_int_not_equal(load(no_environment, &config, &err, flag, value, NULL), STATUS_OK);
    if (strstr(error_message(&err), word) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", error_message(&err), word);
}

static void what_makes_no_sense_is_refused_in_words(void **state)
{
    (void)state;
    refuses("--colour", "--colour", "red");
    refuses("unexpected", "serve", NULL);
    refuses("needs a value", "--workers", NULL);
    refuses("--workers", "--workers", "many");
    refuses("1 to 64", "--workers", "0");
    refuses("ADDRESS:PORT", "--listen", "nonsense");
    refuses("ADDRESS:PORT", "--listen", "127.0.0.1:65536");
    refuses("loopback", "--listen", "0.0.0.0:80");
    refuses("NAME=PATH", "--dataset", "no-path");
    refuses("1M", "--memory", "much");
    refuses("--memory", "--memory", "1GB");
    refuses("--memory", "--memory", "-1G");
    refuses("--memory", "--memory", "1.5G");
    refuses("--memory", "--memory", "0");
    refuses("--memory", "--memory", "1K");
    refuses("--memory", "--memory", "16777216T");
    refuses("--memory", "--memory", "99999999999999999999");
    refuses("cannot read", "--config", "/nowhere/at/all");
    refuses("not a JSON object", "--config", "/dev/null");
}

static void a_config_file_with_an_unknown_key_is_refused(void **state)
{
    char path[] = "/tmp/leased-config-XXXXXX";
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    dprintf(fd, "{\"colour\": \"red\"}");
    close(fd);
    refuses("colour", "--config", path);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_defaults_are_loopback_and_one_worker),
        cmocka_unit_test(the_flag_wins_over_the_environment_over_the_file),
        cmocka_unit_test(a_size_may_have_a_suffix),
        cmocka_unit_test(what_makes_no_sense_is_refused_in_words),
        cmocka_unit_test(a_config_file_with_an_unknown_key_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
