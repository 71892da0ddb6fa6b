/*
 * driver -- runs a fuzz target without a fuzzer: on every file of the corpus, then on mutations of
 * these.
 *
 *     fuzz_x FILE|FOLDER...         LEASED_FUZZ_RUNS: how many mutations (default 2000)
 *
 * Mutations come from the project's counter-based generator, keyed by their number: a failure
 * repeats, and `current_run` in the debugger says which one it was. Each input lies in an
 * allocation of exactly its size, so that the address sanitizer sees the first byte read past its
 * end. A target answers 0 and aborts (or trips a sanitizer) on a bug.
 */
#include <dirent.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/base/rng.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

enum { INPUTS_MAX = 256, INPUT_BYTES_MAX = 1 << 20, RUNS_DEFAULT = 2000, EDITS_MAX = 8 };

typedef struct Input {
    uint8_t *bytes;
    size_t size;
} Input;

static Input corpus[INPUTS_MAX];
static uint32_t corpus_count;
static volatile uint32_t current_run;

static void die(const char *what, const char *name)
{
    fprintf(stderr, "fuzz: %s: %s\n", what, name);
    exit(2);
}

static void *allocate(size_t size)
{
    void *p = malloc(size > 0 ? size : 1);

    if (p == NULL)
        die("out of memory", "");
    return p;
}

static void run(const uint8_t *bytes, size_t size)
{
    uint8_t *exact = allocate(size);

    memcpy(exact, bytes, size);
    if (LLVMFuzzerTestOneInput(exact, size) != 0)
        die("the target did not answer 0", "");
    free(exact);
}

static void read_file(const char *path)
{
    Input *input = &corpus[corpus_count];
    FILE *file = fopen(path, "rb");

    if (corpus_count == INPUTS_MAX)
        die("too many files", path);
    if (file == NULL)
        die("cannot open", path);
    input->bytes = allocate(INPUT_BYTES_MAX);
    input->size = fread(input->bytes, 1, INPUT_BYTES_MAX, file);
    if (ferror(file))
        die("cannot read", path);
    fclose(file);
    corpus_count++;
}

static int visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static void read_path(const char *path)
{
    struct dirent **entries;
    struct stat st;
    int count;

    if (stat(path, &st) != 0)
        die("no such file", path);
    if (!S_ISDIR(st.st_mode)) {
        read_file(path);
        return;
    }
    count =
        scandir(path, &entries, visible, alphasort); /* sorted: the mutations depend on the order */
    for (int i = 0; i < count; i++) {
        char *name = NULL;

        if (asprintf(&name, "%s/%s", path, entries[i]->d_name) < 0)
            die("out of memory", path);
        read_file(name);
        free(name);
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
}

/* A range of `size` bytes: its start, and at most `most` bytes long. */
static size_t range(Rng *rng, size_t size, size_t most, size_t *ret_length)
{
    size_t start = rng_below(rng, (uint32_t)size + 1), left = size - start;

    if (left > most)
        left = most;
    *ret_length = rng_below(rng, (uint32_t)left + 1);
    return start;
}

static void flip(Rng *rng, Input *input)
{
    if (input->size > 0)
        input->bytes[rng_below(rng, (uint32_t)input->size)] ^= (uint8_t)(1u << rng_below(rng, 8));
}

/* A byte that parsers care about, or any. */
static void overwrite(Rng *rng, Input *input)
{
    static const uint8_t special[] = {
        0, 1, 0x7f, 0x80, 0xff, '"', '\\', '{', '[', '\n', '-', '9'
    };
    uint32_t pick = rng_below(rng, 2 * sizeof special);

    if (input->size > 0)
        input->bytes[rng_below(rng, (uint32_t)input->size)] =
            pick < sizeof special ? special[pick] : (uint8_t)rng_u32(rng);
}

static void truncate_tail(Rng *rng, Input *input)
{
    input->size = rng_below(rng, (uint32_t)input->size + 1);
}

static void delete_range(Rng *rng, Input *input)
{
    size_t length, start = range(rng, input->size, 64, &length);

    memmove(input->bytes + start, input->bytes + start + length, input->size - start - length);
    input->size -= length;
}

/* A piece of some input put in here: insertion, repetition and splicing in one. */
static void splice(Rng *rng, Input *input)
{
    const Input *from = &corpus[rng_below(rng, corpus_count)];
    size_t length, start = range(rng, from->size, from->size, &length);
    size_t at = rng_below(rng, (uint32_t)input->size + 1);

    if (length > INPUT_BYTES_MAX - input->size)
        return;
    memmove(input->bytes + at + length, input->bytes + at, input->size - at);
    memcpy(input->bytes + at, from->bytes + start, length);
    input->size += length;
}

static void (*const edits[])(Rng *, Input *) = { flip, overwrite, truncate_tail, delete_range,
                                                 splice };

static void mutate(uint32_t number, Input *scratch)
{
    Rng rng = rng_at(0, RNG_TEST, 0, number);
    const Input *from = &corpus[rng_below(&rng, corpus_count)];
    uint32_t count = 1 + rng_below(&rng, EDITS_MAX);

    memcpy(scratch->bytes, from->bytes, from->size);
    scratch->size = from->size;
    while (count-- > 0)
        edits[rng_below(&rng, sizeof edits / sizeof *edits)](&rng, scratch);
}

int main(int argc, char **argv)
{
    const char *text = getenv("LEASED_FUZZ_RUNS");
    uint32_t runs = text != NULL ? (uint32_t)strtoul(text, NULL, 10) : RUNS_DEFAULT;
    Input scratch = { .bytes = allocate(INPUT_BYTES_MAX) };

    setbuf(stderr, NULL);
    for (int i = 1; i < argc; i++)
        read_path(argv[i]);
    if (corpus_count == 0)
        die("no input", "name files or folders");
    for (uint32_t i = 0; i < corpus_count; i++)
        run(corpus[i].bytes, corpus[i].size);
    for (uint32_t i = 0; i < runs; i++) {
        current_run = i;
        mutate(i, &scratch);
        run(scratch.bytes, scratch.size);
    }
    printf("%" PRIu32 " files and %" PRIu32 " mutations\n", corpus_count, runs);
    for (uint32_t i = 0; i < corpus_count; i++)
        free(corpus[i].bytes);
    free(scratch.bytes);
    return 0;
}
