/* folder_real: an archive of 60,000 real JPEGs, where LEASED_TEST_DATA has it. */
#include "tests/unit/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/data/dataset.h"

static char path[512];

static void sums(const ImageSet *set, uint64_t ret[3])
{
    memset(ret, 0, 3 * sizeof *ret);
    for (size_t i = 0; i < (size_t)set->images * 3 * 32 * 32; i++)
        ret[i % 3] += set->pixels[i];
}

/* The sums and pixels are those of another decoder (PIL), over the whole archive. */
static void all_of_cifar10_as_jpeg_is_read(void **state)
{
    static const char *const names[] = { "airplane", "automobile", "bird",  "cat",  "deer",
                                         "dog",      "frog",       "horse", "ship", "truck" };
    /* test/airplane/0000.jpg */
    static const uint8_t row[] = { 141, 159, 179, 159, 176, 196, 168, 183, 202 };
    uint32_t count[2][10] = { { 0 } }, found = 0;
    uint64_t sum[3];
    Dataset *d = NULL;

    (void)state;
    assert_int_equal(dataset_open("c10", path, NULL, &d, NULL), STATUS_OK);
    assert_string_equal(d->layout, "folder");
    assert_int_equal(d->train.images, 50000);
    assert_int_equal(d->test.images, 10000);
    assert_int_equal(d->classes, 10);
    assert_int_equal(d->skipped + d->foreign, 0);
    for (int i = 0; i < 10; i++)
        assert_string_equal(d->class_names[i], names[i]);
    for (int i = 0; i < 50000; i++)
        count[0][d->train.labels[i]]++;
    for (int i = 0; i < 10000; i++)
        count[1][d->test.labels[i]]++;
    for (int i = 0; i < 10; i++) {
        assert_int_equal(count[0][i], 5000);
        assert_int_equal(count[1][i], 1000);
    }
    sums(&d->train, sum);
    assert_true(sum[0] == 6413765015 && sum[1] == 6294170581 && sum[2] == 5829777341);
    sums(&d->test, sum);
    assert_true(sum[0] == 1290104439 && sum[1] == 1266598065 && sum[2] == 1176037503);
    for (int i = 0; i < 10000; i++) {
        const uint8_t *image = d->test.pixels + (size_t)i * 3072;

        if (d->test.labels[i] == 0 && memcmp(image, row, sizeof row) == 0) {
            assert_memory_equal(image + 3069, ((const uint8_t[]){ 49, 72, 64 }), 3);
            found++;
        }
    }
    assert_int_equal(found, 1);
    dataset_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_of_cifar10_as_jpeg_is_read),
    };
    const char *folder = getenv("LEASED_TEST_DATA");

    snprintf(path, sizeof path, "%s/cifar10-jpeg.tar.xz", folder != NULL ? folder : "");
    if (folder == NULL || access(path, R_OK) != 0) {
        printf("1..0 # SKIP no LEASED_TEST_DATA/cifar10-jpeg.tar.xz\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
