/*
 * Folders around everything are passed over while all images share the first one and still have a
 * class below it. What is left begins with train/ (and test/ or val/), or with the classes.
 *
 * Classes come from all entries, so that an empty folder, or one of damaged images, is named and
 * not forgotten: labels would shift without anybody noticing.
 */
#include "core/data/folder_layout.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/rng.h"
#include "core/data/storage.h"

enum { TRAIN, TEST, SETS };

/* One part of a path. */
typedef struct Word {
    const char *text;
    size_t length;
} Word;

typedef struct Layout {
    Gather *gather;
    const char *around; /* a path whose first around_bytes are the folders around everything */
    size_t around_bytes;
    const char *set_name[SETS];      /* "train" and "test" or "val"; NULL: no such folders */
    Word class[DATASET_CLASSES_MAX]; /* sorted */
    uint32_t classes;
} Layout;

static Word first_word(const char *path)
{
    return (Word){ path, strcspn(path, "/") };
}

static bool word_is(Word word, const char *text)
{
    return word.length == strlen(text) && memcmp(word.text, text, word.length) == 0;
}

static int word_order(Word a, Word b)
{
    int order = memcmp(a.text, b.text, a.length < b.length ? a.length : b.length);

    return order != 0 ? order : (a.length > b.length) - (a.length < b.length);
}

/* How many parts? */
static uint32_t depth(const char *path)
{
    uint32_t parts = 1;

    for (; *path != '\0'; path++)
        parts += *path == '/';
    return parts;
}

/* ---- Sorting ---- */

static int by_path(const void *a, const void *b, void *gather)
{
    const GatherEntry *x = a, *y = b;
    int order = strcmp(gather_entry_path(gather, x), gather_entry_path(gather, y));

    return order != 0 ? order : (x->order > y->order) - (x->order < y->order);
}

/* Of files with the same path, the last one stays what it is. */
static void sort(Gather *gather)
{
    if (gather->count == 0)
        return;
    qsort_r(gather->entry, gather->count, sizeof *gather->entry, by_path, gather);
    for (uint32_t i = 0; i + 1 < gather->count; i++) {
        GatherEntry *entry = &gather->entry[i];
        const char *path = gather_entry_path(gather, entry);

        if (entry->kind == ENTRY_IMAGE && strcmp(path, gather_entry_path(gather, entry + 1)) == 0) {
            entry->kind = ENTRY_SKIPPED;
            gather_note(gather, path, "comes again");
        }
    }
}

/* ---- Which layout ---- */

/* What the first parts of all images are. */
typedef struct Firsts {
    bool any, same, deep;  /* all the same; all have a folder and a file below it */
    bool train, test, val; /* seen, with a class and a file below */
    bool others;
} Firsts;

static Firsts firsts_look(const Layout *layout)
{
    const Gather *gather = layout->gather;
    Firsts f = { .same = true, .deep = true };
    Word last = { 0 };

    for (uint32_t i = 0; i < gather->count; i++) {
        const char *path;
        Word word;
        bool deep;

        if (gather->entry[i].kind != ENTRY_IMAGE) /* which may lie outside, its path be shorter */
            continue;
        path = gather_entry_path(gather, &gather->entry[i]) + layout->around_bytes;
        word = first_word(path);
        deep = depth(path) >= 3;
        f.same &= !f.any || word_order(word, last) == 0;
        f.any = true;
        f.deep &= deep;
        f.train |= deep && word_is(word, "train");
        f.test |= deep && word_is(word, "test");
        f.val |= deep && word_is(word, "val");
        f.others |= !word_is(word, "train") && !word_is(word, "test") && !word_is(word, "val");
        last = word;
    }
    return f;
}

static const char *first_image(const Gather *gather)
{
    uint32_t i = 0;

    while (gather->entry[i].kind != ENTRY_IMAGE)
        i++;
    return gather_entry_path(gather, &gather->entry[i]);
}

static Status layout_find(Layout *layout, Error *err)
{
    const Gather *gather = layout->gather;
    Firsts f = firsts_look(layout);

    if (!f.any && gather->skipped > 0)
        return error_set(err, STATUS_INVALID,
                         "data set \"%s\": none of its %u images can be read: %.120s",
                         gather->label, gather->skipped, gather->skipped_names);
    if (!f.any)
        return error_set(err, STATUS_INVALID,
                         "data set \"%s\": holds neither CIFAR files (data_batch_*.bin, train.bin) "
                         "nor folders of PNG or JPEG images",
                         gather->label);
    layout->around = first_image(gather);
    while (!f.train && f.same && f.deep) {
        layout->around_bytes += first_word(layout->around + layout->around_bytes).length + 1;
        f = firsts_look(layout);
    }
    if (f.test && f.val && !f.train && !f.others)
        return error_set(err, STATUS_INVALID,
                         "data set \"%s\": has test images, but no training images in train/CLASS/",
                         gather->label);
    if (f.train && (f.same || f.test || f.val)) {
        layout->set_name[TRAIN] = "train";
        layout->set_name[TEST] = f.test || !f.val ? "test" : "val";
    }
    return STATUS_OK;
}

/* The class that an entry lies in or is the folder of, and its set; false: none. */
static bool entry_class(const Layout *layout, const GatherEntry *entry, Word *ret, int *ret_set)
{
    const char *path = gather_entry_path(layout->gather, entry);
    Word word;

    *ret_set = TRAIN;
    if (strncmp(path, layout->around, layout->around_bytes) != 0)
        return false;
    path += layout->around_bytes;
    if (layout->set_name[TRAIN] != NULL) {
        word = first_word(path);
        if (!word_is(word, layout->set_name[TRAIN]) && !word_is(word, layout->set_name[TEST]))
            return false;
        *ret_set = word_is(word, layout->set_name[TRAIN]) ? TRAIN : TEST;
        path += word.length + (path[word.length] == '/');
    }
    *ret = first_word(path);
    return ret->length > 0 && (entry->kind == ENTRY_FOLDER || path[ret->length] == '/');
}

/* ---- Classes ---- */

/* The class's number, or where it would come. */
static uint32_t class_find(const Layout *layout, Word word, bool *ret_found)
{
    uint32_t low = 0, high = layout->classes;

    *ret_found = false;
    while (low < high && !*ret_found) {
        uint32_t middle = (low + high) / 2;
        int order = word_order(word, layout->class[middle]);

        *ret_found = order == 0;
        if (order == 0)
            low = middle;
        else if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static Status class_add(Layout *layout, Word word, Error *err)
{
    const char *label = layout->gather->label;
    char name[CLASS_NAME_MAX];
    bool found;
    uint32_t at = class_find(layout, word, &found);

    if (found)
        return STATUS_OK;
    if (layout->classes == DATASET_CLASSES_MAX)
        return error_set(err, STATUS_INVALID, "data set \"%s\": more than %d class folders", label,
                         DATASET_CLASSES_MAX);
    if (word.length >= sizeof name)
        return error_set(err, STATUS_INVALID,
                         "data set \"%s\": class folder \"%.*s...\" has a name of %zu bytes: at "
                         "most %d",
                         label, 32, word.text, word.length, CLASS_NAME_MAX - 1);
    memcpy(name, word.text, word.length);
    name[word.length] = '\0';
    if (!gather_text(name))
        return error_set(err, STATUS_INVALID,
                         "data set \"%s\": the name of its %u. class folder is not UTF-8 text",
                         label, at + 1);
    memmove(layout->class + at + 1, layout->class + at,
            (layout->classes - at) * sizeof *layout->class);
    layout->class[at] = word;
    layout->classes++;
    return STATUS_OK;
}

static Status classes_find(Layout *layout, Error *err)
{
    const Gather *gather = layout->gather;
    Word word;
    int set;
    Status s = STATUS_OK;

    for (uint32_t i = 0; i < gather->count && s == STATUS_OK; i++)
        if (entry_class(layout, &gather->entry[i], &word, &set))
            s = class_add(layout, word, err);
    return s;
}

/* ---- The data set ---- */

/* One image and where it belongs. */
typedef struct Placed {
    uint32_t image;
    uint16_t label;
} Placed;

typedef struct Places {
    Placed *set[SETS]; /* in the order of the paths */
    uint32_t count[SETS];
    uint32_t seen[DATASET_CLASSES_MAX]; /* training images of each class */
} Places;

static void places_fill(const Layout *layout, Places *places)
{
    Gather *gather = layout->gather;
    Word word;
    bool found;
    int set;

    for (uint32_t i = 0; i < gather->count; i++) {
        const GatherEntry *entry = &gather->entry[i];

        if (entry->kind != ENTRY_IMAGE)
            continue;
        if (!entry_class(layout, entry, &word, &set)) {
            gather_note(gather, gather_entry_path(gather, entry), "is in no class folder");
        } else {
            uint32_t class = class_find(layout, word, &found);

            places->set[set][places->count[set]++] = (Placed){ entry->image, (uint16_t) class };
            places->seen[class] += set == TRAIN;
        }
    }
}

static Status classes_check(const Layout *layout, const Places *places, Error *err)
{
    const Gather *gather = layout->gather;

    for (uint32_t i = 0; i < layout->classes; i++)
        if (places->seen[i] == 0)
            return error_set(err, STATUS_INVALID,
                             "data set \"%s\": class folder \"%.*s\" has no readable training "
                             "image%s%.100s",
                             gather->label, (int)layout->class[i].length, layout->class[i].text,
                             gather->skipped > 0 ? "; left out: " : "", gather->skipped_names);
    if (layout->classes < 2)
        return error_set(err, STATUS_INVALID,
                         "data set \"%s\": %u class folder(s), in train/CLASS/ or CLASS/: at least "
                         "2 are needed",
                         gather->label, layout->classes);
    return STATUS_OK;
}

static Status dataset_fill(const Layout *layout, const Places *places, uint32_t *order,
                           Dataset **ret, Error *err)
{
    const Gather *gather = layout->gather;
    size_t image_bytes = gather_image_bytes(gather);
    const DatasetPlan plan = { .name = gather->label,
                               .layout = "folder",
                               .height = gather->image_size,
                               .width = gather->image_size,
                               .channels = 3,
                               .classes = layout->classes,
                               .images = { places->count[TRAIN], places->count[TEST] } };
    DatasetRoom room;
    Dataset *dataset;
    Status s = dataset_new(&plan, &dataset, &room, err);

    if (s != STATUS_OK)
        return s;
    for (uint32_t i = 0; i < layout->classes; i++)
        snprintf(room.class_names[i], CLASS_NAME_MAX, "%.*s", (int)layout->class[i].length,
                 layout->class[i].text);
    for (uint32_t set = 0; set < SETS; set++) {
        Rng rng = rng_at(0, RNG_FILES, set, 0);

        rng_permutation(&rng, places->count[set], order);
        for (uint32_t i = 0; i < places->count[set]; i++) {
            Placed placed = places->set[set][order[i]];

            room.set[set].labels[i] = placed.label;
            memcpy(room.set[set].pixels + i * image_bytes,
                   gather->pixels + placed.image * image_bytes, image_bytes);
        }
    }
    dataset_statistics(dataset, NULL, dataset->train.images, dataset->mean, dataset->std);
    dataset->skipped = gather->skipped;
    dataset->foreign = gather->foreign;
    memcpy(dataset->skipped_names, gather->skipped_names, sizeof dataset->skipped_names);
    *ret = dataset;
    return STATUS_OK;
}

Status folder_arrange(Gather *gather, Dataset **ret, Error *err)
{
    Layout layout = { .gather = gather };
    Places places = { 0 };
    uint32_t *order;
    Status s;

    sort(gather);
    s = layout_find(&layout, err);
    if (s == STATUS_OK)
        s = classes_find(&layout, err);
    if (s != STATUS_OK)
        return s;
    for (int set = 0; set < SETS; set++)
        places.set[set] = malloc(gather->images * sizeof *places.set[set]);
    order = malloc(gather->images * sizeof *order);
    if (places.set[TRAIN] == NULL || places.set[TEST] == NULL || order == NULL) {
        s = error_set(err, STATUS_NO_MEMORY, "data set \"%s\": cannot allocate an index",
                      gather->label);
    } else {
        places_fill(&layout, &places);
        s = classes_check(&layout, &places, err);
        if (s == STATUS_OK)
            s = dataset_fill(&layout, &places, order, ret, err);
    }
    for (int set = 0; set < SETS; set++)
        free(places.set[set]);
    free(order);
    return s;
}
