/* prefetch: the batches of a run, in order, wherever it starts and whenever it ends. */
#include "tests/unit/test.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/rng.h"
#include "core/data/augment.h"
#include "core/data/prefetch.h"

/* ---- Allocations are counted while `counting`: the linker sends them through here ---- */

static _Atomic bool counting;
static _Atomic int allocations;

void *__real_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__real_realloc(void *old, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes);

void *__wrap_malloc(size_t bytes)
{
    allocations += counting;
    return __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t bytes)
{
    allocations += counting;
    return __real_calloc(count, bytes);
}

void *__wrap_realloc(void *old, size_t bytes)
{
    allocations += counting;
    return __real_realloc(old, bytes);
}

/* ---- 23 images of 3x2x1, image i all byte i, label i % 4 ---- */

enum { IMAGES = 23, IMAGE = 6, CLASSES = 4, SIZE = 5 };

static uint8_t pixels[IMAGES * IMAGE];
static uint16_t labels[IMAGES];
static const Dataset dataset = {
    .name = "small",
    .layout = "shapes",
    .height = 3,
    .width = 2,
    .channels = 1,
    .classes = CLASSES,
    .std = { 1 / 255.0f },
    .train = { IMAGES, pixels, labels, NULL },
};
static Loader loader;
static Choice augment[3];

static int rig_make(void **state)
{
    static const char *const rows[] = { "flip", "cutout", "mixup" };

    (void)state;
    for (int i = 0; i < IMAGES; i++) {
        memset(pixels + i * IMAGE, i, IMAGE);
        labels[i] = (uint16_t)(i % CLASSES);
    }
    for (int i = 0; i < 3; i++)
        choice_init(augmentation_table, (uint32_t)table_find(augmentation_table, rows[i]),
                    &augment[i]);
    augment[1].value[0] = 1;
    augment[2].value[0] = 0.5;
    return loader_init(&loader, &dataset, &(DataSpec){ 0 }, NULL) != STATUS_OK;
}

static int rig_remove(void **state)
{
    (void)state;
    loader_clear(&loader);
    return 0;
}

static PrefetchSpec plain(uint64_t step, uint64_t steps)
{
    return (PrefetchSpec){
        .loader = &loader, .batch_size = SIZE, .seed = 3, .step = step, .steps = steps
    };
}

static PrefetchSpec augmented(uint64_t step, uint64_t steps)
{
    PrefetchSpec spec = plain(step, steps);

    spec.augment = augment;
    spec.augments = 3;
    spec.label_smoothing = 0.1;
    return spec;
}

static Prefetch *start(const PrefetchSpec *spec)
{
    Prefetch *p = NULL;

    assert_int_equal(prefetch_new(spec, &p, NULL), STATUS_OK);
    return p;
}

/* ---- The tests ---- */

static void an_epoch_holds_so_many_batches(void **state)
{
    (void)state;
    assert_int_equal(epoch_batches(23, 5, false), 5);
    assert_int_equal(epoch_batches(23, 5, true), 4);
    assert_int_equal(epoch_batches(20, 5, false), 4);
    assert_int_equal(epoch_batches(20, 5, true), 4);
    assert_int_equal(epoch_batches(4, 5, true), 0);
    assert_int_equal(epoch_batches(0, 5, false), 0);
    assert_int_equal(epoch_batches(UINT32_MAX, 2, false), 1u << 31);
}

static void each_epoch_shows_every_image_once_in_its_own_order(void **state)
{
    const PrefetchSpec spec = plain(0, 10);
    Prefetch *p = start(&spec);
    Batch batch = { 0 };

    (void)state;
    for (uint32_t epoch = 0; epoch < 2; epoch++) {
        Rng rng = rng_at(3, RNG_SHUFFLE, epoch, 0);
        uint32_t order[IMAGES];

        rng_permutation(&rng, IMAGES, order);
        for (uint32_t at = 0; at < IMAGES; at += batch.count) {
            assert_true(prefetch_next(p, &batch));
            assert_int_equal(batch.epoch, epoch);
            assert_int_equal(batch.count, at == 20 ? 3 : 5);
            assert_int_equal(batch.step, epoch * 5 + at / 5);
            for (uint32_t i = 0; i < batch.count; i++) {
                /* In a partial block the pixels of an image are `count` apart. */
                assert_true(batch.images[i] > (float)order[at + i] - 0.01f &&
                            batch.images[i] < (float)order[at + i] + 0.01f);
                assert_int_equal(batch.labels[i], order[at + i] % CLASSES);
                for (uint32_t k = 0; k < CLASSES; k++)
                    assert_true(batch.targets[i * CLASSES + k] == (k == batch.labels[i]));
            }
        }
    }
    assert_false(prefetch_next(p, &batch));
    assert_false(prefetch_next(p, &batch));
    prefetch_free(p);
}

static void drop_last_leaves_the_small_batch_out(void **state)
{
    PrefetchSpec spec = plain(0, 9);
    Prefetch *p;
    Batch batch;

    (void)state;
    spec.drop_last = true;
    p = start(&spec);
    for (uint64_t step = 0; step < 9; step++) {
        assert_true(prefetch_next(p, &batch));
        assert_int_equal(batch.count, 5);
        assert_int_equal(batch.epoch, step / 4);
    }
    assert_false(prefetch_next(p, &batch));
    prefetch_free(p);
}

static void batches_are_those_that_the_loader_makes(void **state)
{
    const PrefetchSpec spec = augmented(0, 12);
    Prefetch *p = start(&spec);
    void *scratch = aligned_alloc(64, loader_scratch_bytes(&loader, SIZE));
    Batch batch;

    (void)state;
    assert_non_null(scratch);
    for (uint32_t step = 0; step < 12; step++) {
        Rng rng = rng_at(3, RNG_SHUFFLE, step / 5, 0);
        uint32_t order[IMAGES];
        float images[SIZE * IMAGE], targets[SIZE * CLASSES];
        uint16_t own[SIZE];
        BatchSpec by_hand = { .items = order + step % 5 * SIZE,
                              .count = step % 5 == 4 ? 3 : 5,
                              .augment = augment,
                              .augments = 3,
                              .seed = 3,
                              .epoch = step / 5,
                              .step = step,
                              .label_smoothing = 0.1,
                              .scratch = scratch };

        rng_permutation(&rng, IMAGES, order);
        loader_batch(&loader, NULL, &by_hand, images, own, targets);
        assert_true(prefetch_next(p, &batch));
        assert_int_equal(batch.count, by_hand.count);
        assert_memory_equal(batch.images, images, batch.count * IMAGE * sizeof *images);
        assert_memory_equal(batch.targets, targets, batch.count * CLASSES * sizeof *targets);
        assert_memory_equal(batch.labels, own, batch.count * sizeof *own);
    }
    free(scratch);
    prefetch_free(p);
}

static void a_run_may_go_on_at_any_step(void **state)
{
    (void)state;
    for (uint64_t from = 0; from < 12; from++) {
        const PrefetchSpec whole = augmented(0, 12), rest = augmented(from, 12);
        Prefetch *a = start(&whole), *b = start(&rest);
        Batch x, y;

        for (uint64_t step = 0; step < 12; step++) {
            assert_true(prefetch_next(a, &x));
            if (step < from)
                continue;
            assert_true(prefetch_next(b, &y));
            assert_int_equal(x.step, y.step);
            assert_int_equal(x.count, y.count);
            assert_memory_equal(x.images, y.images, x.count * IMAGE * sizeof *x.images);
            assert_memory_equal(x.targets, y.targets, x.count * CLASSES * sizeof *x.targets);
        }
        assert_false(prefetch_next(b, &y));
        prefetch_free(a);
        prefetch_free(b);
    }
}

/* The thread may already make the next one, but never in this one's place. */
static void a_batch_stays_as_it_is_until_the_next_is_taken(void **state)
{
    const PrefetchSpec spec = augmented(0, 20);
    Prefetch *p = start(&spec);
    Batch batch;

    (void)state;
    for (int step = 0; step < 20; step++) {
        float before[SIZE * IMAGE];
        size_t bytes;

        assert_true(prefetch_next(p, &batch));
        bytes = batch.count * IMAGE * sizeof *before;
        memcpy(before, batch.images, bytes);
        nanosleep(&(struct timespec){ .tv_nsec = 500000 }, NULL);
        assert_memory_equal(before, batch.images, bytes);
    }
    prefetch_free(p);
}

static void it_ends_at_any_moment(void **state)
{
    const PrefetchSpec spec = augmented(0, UINT64_MAX), none = augmented(4, 4),
                       past = augmented(5, 4);
    Batch batch;
    Prefetch *p;

    (void)state;
    prefetch_free(NULL);
    for (int taken = 0; taken < 6; taken++)
        for (int wait = 0; wait < 4; wait++) {
            p = start(&spec);
            for (int i = 0; i < taken; i++)
                assert_true(prefetch_next(p, &batch));
            if (wait > 0)
                nanosleep(&(struct timespec){ .tv_nsec = 30000 << wait }, NULL);
            prefetch_free(p);
        }
    p = start(&none);
    assert_false(prefetch_next(p, &batch));
    prefetch_free(p);
    p = start(&past);
    assert_false(prefetch_next(p, &batch));
    prefetch_free(p);
}

static void a_split_that_fills_no_batch_is_refused(void **state)
{
    PrefetchSpec spec = plain(0, 1);
    Prefetch *p = NULL;
    Error err = { 0 };

    (void)state;
    spec.drop_last = true;
    spec.batch_size = IMAGES + 1;
    assert_int_equal(prefetch_new(&spec, &p, &err), STATUS_INVALID);
    assert_string_equal(err.detail[0].pointer, "/batch_size");
    spec.drop_last = false;
    spec.split = SPLIT_TEST;
    assert_int_equal(prefetch_new(&spec, &p, NULL), STATUS_INVALID);
    assert_null(p);
}

static void a_batch_larger_than_the_split_is_the_split(void **state)
{
    PrefetchSpec spec = plain(0, 2);
    Prefetch *p;
    Batch batch;

    (void)state;
    spec.batch_size = UINT32_MAX;
    assert_true(prefetch_bytes(&spec) < 1 << 16);
    p = start(&spec);
    assert_true(prefetch_next(p, &batch));
    assert_int_equal(batch.count, IMAGES);
    assert_true(prefetch_next(p, &batch));
    assert_int_equal(batch.epoch, 1);
    prefetch_free(p);
}

static void a_step_allocates_nothing(void **state)
{
    const PrefetchSpec spec = augmented(0, 60);
    Prefetch *p = start(&spec);
    void *volatile kept; /* the compiler would do without the pair below */
    Batch batch;

    (void)state;
    counting = true;
    while (prefetch_next(p, &batch))
        continue;
    counting = false;
    assert_int_equal(allocations, 0);
    prefetch_free(p);
    counting = true;
    kept = malloc(1); /* the count works */
    free(kept);
    counting = false;
    assert_int_equal(allocations, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_epoch_holds_so_many_batches),
        cmocka_unit_test(each_epoch_shows_every_image_once_in_its_own_order),
        cmocka_unit_test(drop_last_leaves_the_small_batch_out),
        cmocka_unit_test(batches_are_those_that_the_loader_makes),
        cmocka_unit_test(a_run_may_go_on_at_any_step),
        cmocka_unit_test(a_batch_stays_as_it_is_until_the_next_is_taken),
        cmocka_unit_test(it_ends_at_any_moment),
        cmocka_unit_test(a_split_that_fills_no_batch_is_refused),
        cmocka_unit_test(a_batch_larger_than_the_split_is_the_split),
        cmocka_unit_test(a_step_allocates_nothing),
    };

    return cmocka_run_group_tests_name("prefetch", tests, rig_make, rig_remove);
}
