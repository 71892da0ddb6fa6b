/* safetensors: what is written comes back, the bytes do not depend on the order, nothing corrupt is
 * read. */
#include "tests/unit/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/nn/safetensors.h"

static const float weights[6] = { 0.0f, -1.5f, 2.25f, 1e-38f, 3e38f, -0.0f };
static const int64_t batches[1] = { INT64_MIN + 7 };
static const float scalar[1] = { 42.0f };
static const float three[3] = { 1, 2, 3 };
static const uint16_t halves[3] = { 0x3c00, 0xbc00, 0x3800 };

/* "b.odd" has an odd number of floats, so the I64 that follows by name is not aligned in the file.
 */
static const StTensor tensors[] = {
    { .name = "b.odd", .dtype = ST_F32, .rank = 1, .dim = { 3 }, .data = three, .count = 3 },
    { .name = "c.batches", .dtype = ST_I64, .rank = 0, .data = batches, .count = 1 },
    { .name = "a.weight",
      .dtype = ST_F32,
      .rank = 2,
      .dim = { 2, 3 },
      .data = weights,
      .count = 6 },
    { .name = "f.halves", .dtype = ST_F16, .rank = 1, .dim = { 3 }, .data = halves, .count = 3 },
    { .name = "g.last", .dtype = ST_F32, .rank = 1, .dim = { 3 }, .data = three, .count = 3 },
    { .name = "e.scalar", .dtype = ST_F32, .rank = 0, .data = scalar, .count = 1 },
    { .name = "d.none", .dtype = ST_I64, .rank = 3, .dim = { 2, 0, 5 }, .data = NULL, .count = 0 },
};
static const StMeta metadata[] = { { "model", "{\"name\":\"resnet18\"}" },
                                   { "build", "\xc3\xa9t\xc3\xa9" } };

enum { TENSORS = sizeof(tensors) / sizeof(tensors[0]) };

/* The written bytes; the caller frees them. */
static char *written(const StTensor *list, size_t count, const StMeta *meta, size_t metas,
                     size_t *ret_size)
{
    char *bytes = NULL;
    FILE *stream = open_memstream(&bytes, ret_size);

    assert_non_null(stream);
    assert_int_equal(safetensors_write(stream, list, count, meta, metas, NULL), STATUS_OK);
    fclose(stream);
    return bytes;
}

static void what_is_written_comes_back(void **state)
{
    size_t size;
    char *bytes = written(tensors, TENSORS, metadata, 2, &size);
    StFile *file = NULL;

    assert_int_equal(safetensors_parse(bytes, size, &file, NULL), STATUS_OK);
    assert_int_equal(safetensors_count(file), TENSORS);
    for (size_t i = 0; i < TENSORS; i++) {
        const StTensor *t = safetensors_find(file, tensors[i].name);
        static const size_t widths[] = { [ST_F32] = 4, [ST_I64] = 8, [ST_F16] = 2 };
        size_t width = widths[tensors[i].dtype];

        assert_non_null(t);
        assert_int_equal(t->dtype, tensors[i].dtype);
        assert_int_equal(t->rank, tensors[i].rank);
        assert_memory_equal(t->dim, tensors[i].dim, sizeof(t->dim));
        assert_int_equal(t->count, tensors[i].count);
        assert_int_equal((uintptr_t)t->data % width, 0);
        if (t->count > 0)
            assert_memory_equal(t->data, tensors[i].data, t->count * width);
    }
    for (size_t i = 1; i < TENSORS; i++)
        assert_true(strcmp(safetensors_at(file, i - 1)->name, safetensors_at(file, i)->name) < 0);
    assert_null(safetensors_find(file, "absent"));
    assert_string_equal(safetensors_metadata(file, "model"), metadata[0].value);
    assert_string_equal(safetensors_metadata(file, "build"), metadata[1].value);
    assert_null(safetensors_metadata(file, "absent"));
    safetensors_close(file);
    free(bytes);
}

static void a_file_without_tensors_or_metadata_is_fine(void **state)
{
    size_t size;
    char *bytes = written(NULL, 0, NULL, 0, &size);
    StFile *file = NULL;

    assert_int_equal(safetensors_parse(bytes, size, &file, NULL), STATUS_OK);
    assert_int_equal(safetensors_count(file), 0);
    assert_null(safetensors_metadata(file, "absent"));
    safetensors_close(file);
    free(bytes);
}

static void the_bytes_do_not_depend_on_the_order(void **state)
{
    size_t size, again;
    char *bytes = written(tensors, TENSORS, metadata, 2, &size);
    StMeta swapped[2] = { metadata[1], metadata[0] };

    for (size_t shift = 1; shift < TENSORS; shift++)
        for (int reverse = 0; reverse < 2; reverse++) {
            StTensor turned[TENSORS];
            char *other;

            for (size_t i = 0; i < TENSORS; i++)
                turned[reverse ? TENSORS - 1 - i : i] = tensors[(i + shift) % TENSORS];
            other = written(turned, TENSORS, swapped, 2, &again);
            assert_int_equal(again, size);
            assert_memory_equal(other, bytes, size);
            free(other);
        }
    free(bytes);
}

static void the_header_is_sorted_compact_and_padded(void **state)
{
    static const char text[] = "{\"__metadata__\":{\"a\":\"1\",\"b\":\"2\"},"
                               "\"x\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,12]},"
                               "\"y\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[12,20]}}";
    const StMeta meta[] = { { "b", "2" }, { "a", "1" } };
    const StTensor list[] = {
        { .name = "y", .dtype = ST_I64, .data = batches, .count = 1 },
        { .name = "x", .dtype = ST_F32, .rank = 1, .dim = { 3 }, .data = three, .count = 3 },
    };
    size_t size;
    char *bytes = written(list, 2, meta, 2, &size);
    uint64_t length;

    memcpy(&length, bytes, 8);
    assert_int_equal(length % 8, 0);
    assert_true(length >= sizeof(text) - 1 && length < sizeof(text) - 1 + 8);
    assert_memory_equal(bytes + 8, text, sizeof(text) - 1);
    for (size_t i = sizeof(text) - 1; i < length; i++)
        assert_int_equal(bytes[8 + i], ' ');
    assert_int_equal(size, 8 + length + 20);
    assert_memory_equal(bytes + 8 + length, three, 12);
    assert_memory_equal(bytes + 8 + length + 12, batches, 8);
    free(bytes);
}

static void a_file_on_disk_opens_and_a_missing_one_is_not_found(void **state)
{
    char path[] = "/tmp/leased-safetensors-XXXXXX";
    int fd = mkstemp(path);
    FILE *stream = fdopen(fd, "wb");
    StFile *file = NULL;
    Error err = { 0 };

    assert_non_null(stream);
    assert_int_equal(safetensors_open(path, &file, NULL), STATUS_CORRUPT); /* empty */
    assert_int_equal(safetensors_write(stream, tensors, TENSORS, metadata, 2, NULL), STATUS_OK);
    fclose(stream);
    assert_int_equal(safetensors_open(path, &file, NULL), STATUS_OK);
    assert_memory_equal(safetensors_find(file, "a.weight")->data, weights, sizeof(weights));
    safetensors_close(file);
    file = NULL;
    assert_int_equal(truncate(path, 100), 0);
    assert_int_equal(safetensors_open(path, &file, NULL), STATUS_CORRUPT);
    unlink(path);
    assert_int_equal(safetensors_open(path, &file, &err), STATUS_NOT_FOUND);
    assert_non_null(strstr(error_message(&err), path));
    assert_int_equal(safetensors_open("/tmp", &file, NULL), STATUS_CORRUPT);
    assert_null(file);
}

static void a_write_that_fails_says_so(void **state)
{
    FILE *full = fopen("/dev/full", "wb");

    assert_non_null(full);
    setvbuf(full, NULL, _IONBF, 0);
    assert_int_equal(safetensors_write(full, tensors, TENSORS, NULL, 0, NULL), STATUS_NO_SPACE);
    fclose(full);
}

static void what_could_not_be_read_back_is_not_written(void **state)
{
    char long_name[ST_NAME_MAX + 1];
    const StMeta twice[] = { { "k", "1" }, { "k", "2" } };
    const StMeta latin1[] = { { "k", "\xe9" } };
    struct {
        StTensor list[2];
        const StMeta *meta;
        size_t metas;
    } cases[] = {
        { { tensors[0], tensors[0] }, NULL, 0 },
        { { { .name = "__metadata__", .count = 1, .data = scalar }, tensors[0] }, NULL, 0 },
        { { { .name = "", .count = 1, .data = scalar }, tensors[0] }, NULL, 0 },
        { { { .name = long_name, .count = 1, .data = scalar }, tensors[0] }, NULL, 0 },
        { { { .name = "tab\t", .count = 1, .data = scalar }, tensors[0] }, NULL, 0 },
        { { { .name = "n", .rank = 1, .dim = { 2 }, .count = 1, .data = scalar }, tensors[0] },
          NULL,
          0 },
        { { { .name = "n", .rank = ST_RANK_MAX + 1, .count = 1, .data = scalar }, tensors[0] },
          NULL,
          0 },
        { { tensors[0], tensors[1] }, twice, 2 },
        { { tensors[0], tensors[1] }, latin1, 1 },
    };

    memset(long_name, 'n', ST_NAME_MAX);
    long_name[ST_NAME_MAX] = '\0';
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        Error err = { 0 };
        char *bytes = NULL;
        size_t size = 0;
        FILE *stream = open_memstream(&bytes, &size);

        assert_int_equal(
            safetensors_write(stream, cases[i].list, 2, cases[i].meta, cases[i].metas, &err),
            STATUS_INVALID);
        assert_true(error_message(&err)[0] != '\0');
        fclose(stream);
        assert_int_equal(size, 0);
        free(bytes);
    }
}

#define ENTRY(dtype, shape, offsets) \
    "{\"dtype\":" dtype ",\"shape\":" shape ",\"data_offsets\":" offsets "}"
#define GOOD ENTRY("\"F32\"", "[2]", "[0,8]")
#define NAME_64 "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"

/* What is wrong, the header, bytes of data after it, a part of the message. */
static const struct {
    const char *what, *header;
    size_t data_bytes;
    const char *message;
} corrupt[] = {
    { "an empty header", "", 0, "not valid JSON" },
    { "no JSON", "{\"a\":", 0, "not valid JSON" },
    { "text after the JSON", "{} x", 0, "not valid JSON" },
    { "an array", "[]", 0, "not a JSON object" },
    { "a number", "1", 0, "not " },
    { "a name twice", "{\"a\":" GOOD ",\"a\":" GOOD "}", 8, "not valid JSON" },
    { "a key twice in an entry",
      "{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8,
      "not valid JSON" },
    { "invalid UTF-8", "{\"a\xff\":" GOOD "}", 8, "not valid JSON" },
    { "a NUL in a name", "{\"a\\u0000\":" GOOD "}", 8, "not valid JSON" },
    { "an empty name", "{\"\":" GOOD "}", 8, "a name is not" },
    { "a control character in a name", "{\"a\\n\":" GOOD "}", 8, "a name is not" },
    { "a name of 256 characters", "{\"" NAME_64 NAME_64 NAME_64 NAME_64 "\":" GOOD "}", 8,
      "a name is not" },
    { "an entry that is a number", "{\"a\":1}", 0, "'a' is not an object" },
    { "an entry without offsets", "{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8,
      "'a' is not an object" },
    { "an unknown key", "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"offsets\":[0,8]}}", 8,
      "data_offsets of 'a'" },
    { "a key too many", "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],\"x\":1}}",
      8, "'a' is not" },
    { "a dtype that is not read", "{\"a\":" ENTRY("\"BF16\"", "[4]", "[0,8]") "}", 8,
      "dtype of 'a'" },
    { "a dtype that is a number", "{\"a\":" ENTRY("32", "[2]", "[0,8]") "}", 8, "dtype of 'a'" },
    { "a shape that is a number", "{\"a\":" ENTRY("\"F32\"", "2", "[0,8]") "}", 8, "shape of 'a'" },
    { "nine dimensions", "{\"a\":" ENTRY("\"F32\"", "[2,1,1,1,1,1,1,1,1]", "[0,8]") "}", 8,
      "shape of 'a'" },
    { "a negative dimension", "{\"a\":" ENTRY("\"F32\"", "[-2]", "[0,8]") "}", 8,
      "dimension 0 of 'a'" },
    { "a fractional dimension", "{\"a\":" ENTRY("\"F32\"", "[2.0]", "[0,8]") "}", 8,
      "dimension 0 of 'a'" },
    { "a nested dimension", "{\"a\":" ENTRY("\"F32\"", "[1,[2]]", "[0,8]") "}", 8,
      "dimension 1 of 'a'" },
    { "a dimension beyond 2^63", "{\"a\":" ENTRY("\"F32\"", "[99999999999999999999]", "[0,8]") "}",
      8, "JSON" },
    { "dimensions that overflow to 2",
      "{\"a\":" ENTRY("\"F32\"", "[4611686018427387905,4611686018427387904]", "[0,8]") "}", 8,
      "other data_offsets" },
    { "a byte count that overflows to 8",
      "{\"a\":" ENTRY("\"F32\"", "[4611686018427387906]", "[0,8]") "}", 8, "other data_offsets" },
    { "one offset", "{\"a\":" ENTRY("\"F32\"", "[2]", "[8]") "}", 8, "data_offsets of 'a'" },
    { "three offsets", "{\"a\":" ENTRY("\"F32\"", "[2]", "[0,8,8]") "}", 8, "data_offsets of 'a'" },
    { "offsets that are text", "{\"a\":" ENTRY("\"F32\"", "[2]", "[\"0\",\"8\"]") "}", 8,
      "data_offsets of 'a'" },
    { "a negative offset", "{\"a\":" ENTRY("\"F32\"", "[2]", "[-8,0]") "}", 8,
      "data_offsets of 'a'" },
    { "offsets the wrong way round", "{\"a\":" ENTRY("\"F32\"", "[2]", "[8,0]") "}", 8,
      "data_offsets of 'a'" },
    { "a size other than the shape's", "{\"a\":" ENTRY("\"F32\"", "[3]", "[0,8]") "}", 8,
      "other data_offsets" },
    { "data that is too short", "{\"a\":" GOOD "}", 7, "holds 7 bytes" },
    { "data that is too long", "{\"a\":" GOOD "}", 9, "holds 9 bytes" },
    { "data without a tensor", "{}", 1, "holds 1 bytes" },
    { "offsets far beyond the file",
      "{\"a\":" ENTRY("\"F32\"", "[2]", "[4294967296,4294967304]") "}", 8, "begins at" },
    { "a hole before the first", "{\"a\":" ENTRY("\"F32\"", "[2]", "[4,12]") "}", 12,
      "begins at byte 4" },
    { "a hole between two", "{\"a\":" GOOD ",\"b\":" ENTRY("\"F32\"", "[1]", "[12,16]") "}", 16,
      "'b' begins at" },
    { "two that overlap", "{\"a\":" GOOD ",\"b\":" ENTRY("\"F32\"", "[2]", "[4,12]") "}", 12,
      "'b' begins at" },
    { "two at the same place", "{\"a\":" GOOD ",\"b\":" GOOD "}", 8, "begins at byte 0" },
    { "metadata that is text", "{\"__metadata__\":\"x\"}", 0, "__metadata__ is not an object" },
    { "metadata that holds a number", "{\"__metadata__\":{\"x\":1}}", 0, "not a string" },
};

/* The file that `header` begins, with `data_bytes` zeros after it; the caller frees it. */
static unsigned char *assembled(const char *header, uint64_t length, size_t data_bytes,
                                size_t *ret_size)
{
    size_t present = strlen(header);
    unsigned char *bytes = calloc(1, 8 + present + data_bytes);

    assert_non_null(bytes);
    memcpy(bytes, &length, 8);
    memcpy(bytes + 8, header, present);
    *ret_size = 8 + present + data_bytes;
    return bytes;
}

static void refuses(const char *what, const unsigned char *bytes, size_t size, const char *message)
{
    StFile *file = NULL;
    Error err = { 0 };
    Status s = safetensors_parse(bytes, size, &file, &err);

    if (s != STATUS_CORRUPT || file || !strstr(error_message(&err), message))
        fail_msg("%s: status %s, message \"%s\", expected \"%s\"", what, status_name(s),
                 error_message(&err), message);
}

static void every_kind_of_corrupt_file_is_refused(void **state)
{
    for (size_t i = 0; i < sizeof(corrupt) / sizeof(corrupt[0]); i++) {
        size_t size;
        unsigned char *bytes =
            assembled(corrupt[i].header, strlen(corrupt[i].header), corrupt[i].data_bytes, &size);

        refuses(corrupt[i].what, bytes, size, corrupt[i].message);
        free(bytes);
    }
}

static void a_header_length_that_lies_is_refused(void **state)
{
    static const struct {
        const char *what;
        uint64_t length;
        const char *message;
    } lies[] = {
        { "one byte beyond the file", 2 + 1, "ends within its header" },
        { "the limit of headers", ST_HEADER_BYTES_MAX, "ends within its header" },
        { "more than the limit", ST_HEADER_BYTES_MAX + 1, "at most" },
        { "2^64 - 1", UINT64_MAX, "at most" },
    };
    size_t size;

    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        unsigned char *bytes = assembled("{}", lies[i].length, 0, &size);

        refuses(lies[i].what, bytes, size, lies[i].message);
        free(bytes);
    }
    for (size = 0; size < 8; size++)
        refuses("fewer than eight bytes", (const unsigned char *)"\0\0\0\0\0\0\0", size, "too few");
}

static void every_truncation_of_a_good_file_is_refused(void **state)
{
    size_t size;
    char *bytes = written(tensors, TENSORS, metadata, 2, &size);

    for (size_t end = 0; end < size; end++) {
        char *part = malloc(end + 1); /* of its own, so that a sanitizer sees a read past its end */

        memcpy(part, bytes, end);
        refuses("a truncated file", (const unsigned char *)part, end, "safetensors");
        free(part);
    }
    free(bytes);
}

static void ten_megabytes_of_brackets_are_refused(void **state)
{
    size_t brackets = 10 << 20, size;
    char *header = malloc(brackets + 1);
    unsigned char *bytes;

    memset(header, '[', brackets);
    header[brackets] = '\0';
    bytes = assembled(header, brackets, 0, &size);
    refuses("brackets", bytes, size, "not valid JSON");
    free(bytes);
    free(header);
}

static void names_in_any_order_and_data_in_any_order_are_read(void **state)
{
    /* Others order the data by type, the header by no rule, and do not pad it: 'a' lies behind 'b'.
     */
    static const char header[] =
        "{\"b\":" ENTRY("\"F32\"", "[1]", "[0,4]") ",\"a\":" ENTRY("\"I64\"", "[1]", "[4,12]") "}";
    size_t size;
    unsigned char *bytes = assembled(header, strlen(header), 12, &size);
    StFile *file = NULL;
    int64_t value = -5;

    memcpy(bytes + size - 8, &value, 8);
    assert_int_equal(safetensors_parse(bytes, size, &file, NULL), STATUS_OK);
    assert_string_equal(safetensors_at(file, 0)->name, "a");
    assert_int_equal(*(const int64_t *)safetensors_find(file, "a")->data, -5);
    safetensors_close(file);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_comes_back),
        cmocka_unit_test(a_file_without_tensors_or_metadata_is_fine),
        cmocka_unit_test(the_bytes_do_not_depend_on_the_order),
        cmocka_unit_test(the_header_is_sorted_compact_and_padded),
        cmocka_unit_test(a_file_on_disk_opens_and_a_missing_one_is_not_found),
        cmocka_unit_test(a_write_that_fails_says_so),
        cmocka_unit_test(what_could_not_be_read_back_is_not_written),
        cmocka_unit_test(every_kind_of_corrupt_file_is_refused),
        cmocka_unit_test(a_header_length_that_lies_is_refused),
        cmocka_unit_test(every_truncation_of_a_good_file_is_refused),
        cmocka_unit_test(ten_megabytes_of_brackets_are_refused),
        cmocka_unit_test(names_in_any_order_and_data_in_any_order_are_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
