/*
 * network_file: networks going to a safetensors file and back, and every way in which a file and a
 * network may not fit. Drafts of a file are changed in memory before they are written.
 */
#include "tests/unit/networks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TENSORS_MAX = 512 };

/* A checkpoint in memory whose parts a test may change before it is written. */
typedef struct Draft {
    NetworkMeta meta;
    StTensor tensor[TENSORS_MAX];
    char names[TENSORS_MAX][GRAPH_WEIGHT_NAME_MAX];
    uint32_t tensors;
    float *disk;
    char *bytes;
    size_t size;
} Draft;

static Draft *draft_of(const Network *n)
{
    Draft *d = calloc(1, sizeof *d);

    assert_non_null(d);
    assert_true(network_tensor_count(n) < TENSORS_MAX);
    d->disk = malloc(n->graph.weight_numbers * sizeof *d->disk);
    assert_non_null(d->disk);
    network_meta(n, &d->meta);
    d->tensors = network_tensors(n, d->disk, d->tensor, d->names);
    return d;
}

static void draft_free(Draft *d)
{
    free(d->disk);
    free(d->bytes);
    free(d);
}

static StTensor *draft_tensor(Draft *d, const char *name)
{
    for (uint32_t i = 0; i < d->tensors; i++)
        if (strcmp(d->tensor[i].name, name) == 0)
            return &d->tensor[i];
    fail_msg("no tensor \"%s\"", name);
    return NULL;
}

/* Gives the key another value; NULL: takes it out. */
static void draft_meta(Draft *d, const char *key, const char *value)
{
    for (uint32_t i = 0; i < d->meta.count; i++) {
        if (strcmp(d->meta.row[i].key, key) != 0)
            continue;
        if (value != NULL)
            d->meta.row[i].value = value;
        else
            d->meta.row[i] = d->meta.row[--d->meta.count];
        return;
    }
    fail_msg("no key \"%s\"", key);
}

static StFile *draft_write(Draft *d)
{
    FILE *stream = open_memstream(&d->bytes, &d->size);
    StFile *file = NULL;
    Error err = { 0 };

    assert_non_null(stream);
    ok(safetensors_write(stream, d->tensor, d->tensors, d->meta.row, d->meta.count, &err), &err);
    assert_int_equal(fclose(stream), 0);
    ok(safetensors_parse(d->bytes, d->size, &file, &err), &err);
    return file;
}

static void comes_back(const char *model, const Set *set, ModelInput input)
{
    Network n = network_of(model, set, input), back = { 0 };
    Draft *d;
    StFile *file;
    Error err = { 0 };

    network_randomise(&n, 9);
    n.batches = 77;
    n.mean[0] = 0.25F;
    n.std[0] = 0.5F;
    d = draft_of(&n);
    file = draft_write(d);
    ok(network_read(&back, file, &err), &err);
    assert_int_equal(back.model.row, n.model.row);
    assert_memory_equal(back.model.value, n.model.value, sizeof n.model.value);
    assert_memory_equal(&back.input, &input, sizeof input);
    assert_memory_equal(back.mean, n.mean, sizeof n.mean);
    assert_memory_equal(back.std, n.std, sizeof n.std);
    assert_memory_equal(back.weights, n.weights, n.graph.weight_numbers * sizeof *n.weights);
    assert_int_equal(back.batches, 77);
    safetensors_close(file);
    draft_free(d);
    network_clear(&back);
    network_clear(&n);
}

static void every_weight_comes_back_from_a_file(void **state)
{
    (void)state;
    comes_back("resnet18", SETS({ "width", 3 }), (ModelInput){ 9, 7, 3, 5 });
    comes_back("resnet18", SETS({ "width", 2 }, { "attention", 1 }, { "attention_bias", 1 }),
               (ModelInput){ 8, 8, 33, 10 });
    comes_back("resnet18", SETS({ "width", 2 }, { "attention", 2 }),
               (ModelInput){ 8, 8, 3003, 1000 });
    comes_back("airbench94", SETS({ "width", 3 }), (ModelInput){ 32, 32, 3, 10 });
    comes_back("resnet9", SETS({ "width", 3 }), (ModelInput){ 16, 16, 1, 2 });
    comes_back("shake_shake", SETS({ "width", 3 }, { "backward", 1 }), (ModelInput){ 8, 8, 4, 10 });
}

static void only_four_channels_have_a_stored_normalisation(void **state)
{
    Network n = network_of("resnet18", SETS({ "width", 1 }), (ModelInput){ 8, 8, 33, 2 });
    Draft *d = draft_of(&n);
    StFile *file = draft_write(d);

    (void)state;
    assert_non_null(safetensors_metadata(file, "std.3"));
    assert_null(safetensors_metadata(file, "std.4"));
    safetensors_close(file);
    draft_free(d);
    network_clear(&n);
}

/* Reads the draft of airbench94, which must fail and say both texts. */
static void refused(Draft *d, const char *says, const char *and_says)
{
    StFile *file = draft_write(d);
    Network back = { 0 };
    Error err = { 0 };

    assert_int_equal(network_read(&back, file, &err), STATUS_CORRUPT);
    if (strstr(error_message(&err), says) == NULL || strstr(error_message(&err), and_says) == NULL)
        fail_msg("\"%s\" does not say \"%s\" and \"%s\"", error_message(&err), says, and_says);
    assert_null(back.weights);
    assert_null(back.graph.node);
    safetensors_close(file);
    draft_free(d);
}

static Network small_airbench(void)
{
    return network_of("airbench94", SETS({ "width", 3 }), (ModelInput){ 32, 32, 3, 10 });
}

static void a_tensor_of_another_shape_is_named_with_both_shapes(void **state)
{
    Network n = small_airbench();
    Draft *d = draft_of(&n);
    StTensor *t = draft_tensor(d, "whiten.weight"); /* frozen ones are no exception */

    (void)state;
    assert_int_equal(t->rank, 4);
    t->dim[0] = 12;
    t->dim[1] = 6;
    refused(d, "\"whiten.weight\" is F32 [12,6,2,2]", "wants F32 [24,3,2,2]");
    d = draft_of(&n);
    t = draft_tensor(d, "group1.bn1.weight");
    t->rank = 2;
    t->dim[1] = 1;
    refused(d, "\"group1.bn1.weight\" is F32 [3,1]", "wants F32 [3]");
    network_clear(&n);
}

static void a_missing_tensor_and_one_too_many_are_named(void **state)
{
    Network n = small_airbench();
    Draft *d = draft_of(&n);
    static const float number = 1;

    (void)state;
    *draft_tensor(d, "group3.bn2.weight") = d->tensor[d->tensors - 1];
    d->tensors--;
    refused(d, "lacks the tensor", "\"group3.bn2.weight\"");
    d = draft_of(&n);
    d->tensor[d->tensors++] =
        (StTensor){ .name = "fc.bias", .rank = 1, .dim = { 1 }, .data = &number, .count = 1 };
    refused(d, "\"fc.bias\"", "which the model has not");
    d = draft_of(&n);
    d->tensor[d->tensors] = *draft_tensor(d, "group1.bn1.num_batches_tracked");
    d->tensor[d->tensors++].name = "whiten.num_batches_tracked"; /* a convolution */
    refused(d, "\"whiten.num_batches_tracked\"", "which the model has not");
    network_clear(&n);
}

static void another_models_name_is_refused_by_the_tensors_that_do_not_fit(void **state)
{
    Network n = small_airbench();
    Draft *d = draft_of(&n);

    (void)state;
    draft_meta(d, "model", "resnet9");
    refused(d, "lacks the tensor \"prep.conv.weight\"", "");
    d = draft_of(&n);
    draft_meta(d, "model", "resnet152");
    refused(d, "no model that is known here", "");
    network_clear(&n);
}

static void a_description_out_of_range_is_refused_by_its_key(void **state)
{
    static const char *const rows[][3] = {
        { "model.width", "2.5", "integer from 1 to 2048" },
        { "model.width", "1e9", "integer from 1 to 2048" },
        { "model.width", "inf", "\"model.width\"" },
        { "model.width", "wide", "not a number" },
        { "input.channels", "3004", "from 1 to 3003" },
        { "input.channels", "2.5", "no integer" },
        { "input.height", "nan", "\"input.height\"" },
        { "classes", "0", "\"classes\"" },
        { "mean.2", NULL, "lacks \"mean.2\"" },
        { "std.0", "0", "\"std.0\"" },
        { "classes", NULL, "lacks \"classes\"" },
        { "model.width", "2048", "wants F32" },
    };
    Network n = small_airbench();

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Draft *d = draft_of(&n);

        draft_meta(d, rows[i][0], rows[i][1]);
        refused(d, rows[i][2], "");
    }
    network_clear(&n);
}

static void a_parameter_younger_than_the_file_has_its_default(void **state)
{
    Network n = network_of("resnet18", SETS({ "width", 2 }), (ModelInput){ 8, 8, 3, 2 });
    Network back = { 0 };
    Draft *d = draft_of(&n);
    StFile *file;
    Error err = { 0 };

    (void)state;
    draft_meta(d, "model.reduction", NULL);
    draft_meta(d, "model.attention_bias", NULL);
    file = draft_write(d);
    ok(network_read(&back, file, &err), &err);
    assert_memory_equal(back.model.value, n.model.value, sizeof n.model.value);
    safetensors_close(file);
    draft_free(d);
    network_clear(&back);
    network_clear(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_weight_comes_back_from_a_file),
        cmocka_unit_test(only_four_channels_have_a_stored_normalisation),
        cmocka_unit_test(a_tensor_of_another_shape_is_named_with_both_shapes),
        cmocka_unit_test(a_missing_tensor_and_one_too_many_are_named),
        cmocka_unit_test(another_models_name_is_refused_by_the_tensors_that_do_not_fit),
        cmocka_unit_test(a_description_out_of_range_is_refused_by_its_key),
        cmocka_unit_test(a_parameter_younger_than_the_file_has_its_default),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
