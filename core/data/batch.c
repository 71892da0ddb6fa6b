/*
 * A batch is made image by image: bytes through the `pixels` stages, normalised, through the
 * `normal` stages, mixed with its partner - which is made a second time, the same way, from its own
 * stream - and laid into its lane of its block. So every image stands alone: no order, no second
 * buffer of a batch, and mixing costs what the images cost again.
 *
 * With a composer its maps go the same way as the bytes do, as pixels of more bytes and with the
 * same draws; what the two make together is what the `normal` stages and mixing see.
 *
 * Work is cut into at most STRIPS units of neighbouring images, which share blocks and with them
 * cache lines; each has scratch memory of its own.
 */
#include <assert.h>

#include "core/base/arena.h"
#include "core/base/shape.h"
#include "core/data/compose.h"
#include "core/data/geometry.h"
#include "core/data/loader.h"
#include "core/data/mix.h"

enum { STRIPS = 16 };

typedef struct BatchWork {
    const Loader *loader;
    const BatchSpec *spec;
    float *images, *targets;
    uint16_t *labels;
    const Composer *composer; /* NULL: the image is the input */
    ImageSize image, size;    /* of an image, of an input */
    size_t numbers;           /* of one input */
    bool mixed;
    Mix mix;
    uint32_t *partner; /* [count] positions in the batch, if mixed */
    char *rooms;       /* one Room a strip */
    size_t room_bytes;
} BatchWork;

/* A strip's scratch memory: images on their way. */
typedef struct Room {
    uint8_t *bytes[2];
    float *image, *partner;
    /* With a composer: */
    float *plain;     /* the image by itself */
    uint8_t *maps[2]; /* at the image's size */
    void *scratch;
} Room;

static ImageSize image_size(const Loader *loader)
{
    return (ImageSize){ loader->dataset->height, loader->dataset->width,
                        loader->dataset->channels };
}

static size_t numbers_of(ImageSize size)
{
    return (size_t)size.height * size.width * size.channels;
}

static ImageSize input_size(const Loader *loader)
{
    ImageSize size = image_size(loader);

    size.channels = loader_channels(loader);
    return size;
}

/* Answers the bytes of a strip's room; `memory` and `ret` may be NULL. */
static size_t room_layout(const Loader *loader, char *memory, Room *ret)
{
    const Composer *composer = loader->composer;
    size_t image = numbers_of(image_size(loader));
    size_t input = numbers_of(input_size(loader)) * sizeof(float);
    size_t maps = composer == NULL ? 0 : composer_map_numbers(composer) * sizeof(float);
    size_t sizes[] = { image,
                       image,
                       input,
                       input,
                       composer == NULL ? 0 : image * sizeof(float),
                       maps,
                       maps,
                       composer == NULL ? 0 : composer_scratch_bytes(composer) };
    char *at[sizeof sizes / sizeof *sizes];
    size_t bytes = 0;

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        at[i] = memory == NULL ? NULL : memory + bytes;
        bytes += arena_round(sizes[i]);
    }
    if (ret != NULL)
        *ret = (Room){ .bytes = { (uint8_t *)at[0], (uint8_t *)at[1] },
                       .image = (float *)at[2],
                       .partner = (float *)at[3],
                       .plain = (float *)at[4],
                       .maps = { (uint8_t *)at[5], (uint8_t *)at[6] },
                       .scratch = at[7] };
    return bytes;
}

static uint32_t strips_of(uint32_t count)
{
    return count < STRIPS ? count : STRIPS;
}

size_t loader_scratch_bytes(const Loader *loader, uint32_t count)
{
    return arena_round(count * sizeof(uint32_t)) +
           strips_of(count) * room_layout(loader, NULL, NULL);
}

/* A step of bytes goes from where they are to the room where they are not. */
static uint8_t *other(uint8_t *const room[2], const uint8_t *in)
{
    return room[in == room[0]];
}

static const uint8_t *look(const View *view, ImageSize size, uint8_t *const room[2],
                           const uint8_t *in)
{
    if (view->shift_x != 0 || view->shift_y != 0) {
        image_shift(size, view->shift_y, view->shift_x, in, other(room, in));
        in = other(room, in);
    }
    if (view->flip) {
        image_flip(size, in, other(room, in));
        in = other(room, in);
    }
    return in;
}

/* The `pixels` stages and the view, of pixels of size.channels bytes. */
static const uint8_t *move(const BatchSpec *spec, ImageDraw *draw, ImageSize size,
                           uint8_t *const room[2], const uint8_t *in)
{
    for (uint32_t i = 0; i < spec->augments; i++) {
        const Choice *choice = &spec->augment[i];
        const Augmentation *row = augmentation_table[choice->row];

        if (row->pixels != NULL) {
            row->pixels(choice->value, draw, size, in, other(room, in));
            in = other(room, in);
        }
    }
    return look(&spec->view, size, room, in);
}

/* The image's maps, moved as the image is: `draw` is as it was in front of that. */
static const float *move_maps(const BatchWork *work, uint32_t item, ImageDraw draw,
                              const Room *room)
{
    const Composer *c = work->composer;
    ImageSize size = work->image;

    size.channels =
        (uint32_t)(composer_map_numbers(c) / ((size_t)size.height * size.width) * sizeof(float));
    composer_maps(c, work->spec->split, item, room->scratch, (float *)room->maps[0]);
    return (const float *)move(work->spec, &draw, size, room->maps, room->maps[0]);
}

/* Image `at` of the batch, without mixing. */
static void make_image(const BatchWork *work, uint32_t at, const Room *room, float *ret)
{
    const BatchSpec *spec = work->spec;
    const Composer *composer = work->composer;
    uint32_t item = spec->items[at];
    ImageDraw draw = { .rng = rng_at(spec->seed, RNG_AUGMENT, spec->epoch, item),
                       .seed = spec->seed,
                       .epoch = spec->epoch,
                       .image = item };
    const ImageDraw before = draw;
    const uint8_t *in = loader_pixels(work->loader, spec->split, item);

    in = move(spec, &draw, work->image, room->bytes, in);
    loader_normalise(work->loader, in, composer == NULL ? ret : room->plain);
    if (composer != NULL)
        composer_join(composer, (ComposeLook)spec->look, room->plain,
                      composer_needs_maps(composer, (ComposeLook)spec->look)
                          ? move_maps(work, item, before, room)
                          : NULL,
                      ret);
    for (uint32_t i = 0; i < spec->augments; i++) {
        const Choice *choice = &spec->augment[i];
        const Augmentation *row = augmentation_table[choice->row];

        if (row->normal != NULL)
            row->normal(choice->value, &draw, work->size, ret);
    }
}

static void lay_into_lane(const BatchWork *work, uint32_t at, const float *image)
{
    uint32_t block = at / BLOCK_IMAGES, lane = at % BLOCK_IMAGES, channels = work->size.channels;
    uint32_t lanes = block_images(work->spec->count, block);
    float *out =
        work->images + (size_t)block * BLOCK_IMAGES * work->numbers + (size_t)lane * channels;

    for (size_t p = 0; p < work->numbers; p += channels)
        for (uint32_t c = 0; c < channels; c++)
            out[p * lanes + c] = image[p + c];
}

static void write_target(const BatchWork *work, uint32_t at)
{
    const BatchSpec *spec = work->spec;
    uint32_t classes = work->loader->dataset->classes;
    double own = work->mixed ? work->mix.own : 1, kept = 1 - spec->label_smoothing;
    double even = spec->label_smoothing / classes;
    uint16_t label = work->labels[at], partner = label;
    float *row = work->targets + (size_t)at * classes;

    if (work->mixed)
        partner = loader_label(work->loader, spec->split, spec->items[work->partner[at]]);
    for (uint32_t k = 0; k < classes; k++)
        row[k] = (float)even;
    if (partner == label) {
        row[label] = (float)(even + kept);
        return;
    }
    row[label] = (float)(even + kept * own);
    row[partner] = (float)(even + kept * (1 - own));
}

static void batch_strip(void *context, size_t strip)
{
    const BatchWork *work = context;
    const BatchSpec *spec = work->spec;
    uint32_t strips = strips_of(spec->count);
    uint32_t from = (uint32_t)((uint64_t)spec->count * strip / strips);
    uint32_t to = (uint32_t)((uint64_t)spec->count * (strip + 1) / strips);
    Room room;

    (void)room_layout(work->loader, work->rooms + strip * work->room_bytes, &room);
    for (uint32_t at = from; at < to; at++) {
        make_image(work, at, &room, room.image);
        if (work->mixed) {
            make_image(work, work->partner[at], &room, room.partner);
            mix_images(&work->mix, work->size, room.image, room.partner);
        }
        lay_into_lane(work, at, room.image);
        work->labels[at] = loader_label(work->loader, spec->split, spec->items[at]);
        if (work->targets != NULL)
            write_target(work, at);
    }
}

void loader_batch(const Loader *loader, Pool *pool, const BatchSpec *batch, float *ret_images,
                  uint16_t *ret_labels, float *ret_targets)
{
    uint32_t strips = strips_of(batch->count);
    BatchWork work = { .loader = loader,
                       .spec = batch,
                       .images = ret_images,
                       .targets = ret_targets,
                       .labels = ret_labels,
                       .composer = loader->composer,
                       .image = image_size(loader),
                       .size = input_size(loader),
                       .partner = batch->scratch,
                       .rooms =
                           (char *)batch->scratch + arena_round(batch->count * sizeof(uint32_t)) };

    assert(batch->split < SPLIT_COUNT && batch->scratch != NULL);
    work.numbers = numbers_of(work.size);
    work.room_bytes = room_layout(loader, NULL, NULL);
    work.mixed = mix_draw(batch->augment, batch->augments, batch->seed, batch->step, work.size,
                          batch->count, &work.mix, work.partner);
    if (pool != NULL) {
        pool_run(pool, strips, batch_strip, &work);
        return;
    }
    for (size_t strip = 0; strip < strips; strip++)
        batch_strip(&work, strip);
}
