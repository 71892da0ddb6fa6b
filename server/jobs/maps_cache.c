/*
 * Slots in one array. The used ones stand in a list, the last asked for in front, and in a table by
 * the head of their key; links are numbers of slots, and slot 0 is none. A slot counts with what it
 * takes beside its bytes, so that many small answers are bounded by the same figure.
 */
#include "server/jobs/maps_cache.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { BUCKETS = 1024, SLOTS = 8192 };

typedef struct Slot {
    MapsResult result;
    uint32_t newer, older; /* in the list; 0: none */
    uint32_t next;         /* in the bucket, or of the free ones; 0: none */
} Slot;

struct MapsCache {
    size_t capacity;
    pthread_mutex_t lock;
    Slot *slot; /* [1 + SLOTS]; guarded by lock, as all below */
    uint32_t bucket[BUCKETS], newest, oldest;
    uint32_t free;  /* the first of those that were used before */
    uint32_t fresh; /* the first that never was */
    MapsCounts counts;
};

MapsCache *maps_cache_new(size_t bytes)
{
    MapsCache *cache = calloc(1, sizeof *cache);

    if (cache == NULL)
        return NULL;
    cache->slot = calloc(1 + SLOTS, sizeof *cache->slot);
    if (cache->slot == NULL) {
        free(cache);
        return NULL;
    }
    cache->capacity = bytes;
    cache->fresh = 1;
    pthread_mutex_init(&cache->lock, NULL);
    return cache;
}

/* --- with the lock held --- */

static uint64_t slot_bytes(const Slot *slot)
{
    return sizeof *slot + slot->result.bytes.size;
}

static uint32_t *bucket_of(MapsCache *cache, const char *key)
{
    uint32_t hash = 0;

    for (int i = 0; i < 8 && key[i] != '\0'; i++)
        hash = hash * 31 + (unsigned char)key[i];
    return &cache->bucket[hash % BUCKETS];
}

/* 0: not there. */
static uint32_t find(MapsCache *cache, const char *key)
{
    uint32_t at = *bucket_of(cache, key);

    while (at != 0 && strcmp(cache->slot[at].result.key, key) != 0)
        at = cache->slot[at].next;
    return at;
}

static void leave_list(MapsCache *cache, uint32_t at)
{
    const Slot *slot = &cache->slot[at];

    *(slot->newer != 0 ? &cache->slot[slot->newer].older : &cache->newest) = slot->older;
    *(slot->older != 0 ? &cache->slot[slot->older].newer : &cache->oldest) = slot->newer;
}

static void enter_list(MapsCache *cache, uint32_t at)
{
    Slot *slot = &cache->slot[at];

    slot->newer = 0;
    slot->older = cache->newest;
    *(slot->older != 0 ? &cache->slot[slot->older].newer : &cache->oldest) = at;
    cache->newest = at;
}

static void drop_oldest(MapsCache *cache)
{
    uint32_t at = cache->oldest, *link = bucket_of(cache, cache->slot[at].result.key);
    Slot *slot = &cache->slot[at];

    while (*link != at)
        link = &cache->slot[*link].next;
    *link = slot->next;
    leave_list(cache, at);
    cache->counts.entries--;
    cache->counts.bytes -= slot_bytes(slot);
    bytes_clear(&slot->result.bytes);
    slot->next = cache->free;
    cache->free = at;
}

/* A slot that nobody uses; the oldest answer's where all are used. */
static uint32_t take_slot(MapsCache *cache)
{
    uint32_t at;

    if (cache->free == 0 && cache->fresh <= SLOTS)
        return cache->fresh++;
    if (cache->free == 0)
        drop_oldest(cache);
    at = cache->free;
    cache->free = cache->slot[at].next;
    return at;
}

/* Takes the bytes. */
static void keep(MapsCache *cache, const MapsResult *result)
{
    uint32_t at = take_slot(cache), *bucket = bucket_of(cache, result->key);
    Slot *slot = &cache->slot[at];

    *slot = (Slot){ .result = *result, .next = *bucket };
    *bucket = at;
    enter_list(cache, at);
    cache->counts.entries++;
    cache->counts.bytes += slot_bytes(slot);
    while (cache->counts.bytes > cache->capacity)
        drop_oldest(cache);
}

/* --- from outside --- */

void maps_cache_free(MapsCache *cache)
{
    if (cache == NULL)
        return;
    while (cache->oldest != 0)
        drop_oldest(cache);
    pthread_mutex_destroy(&cache->lock);
    free(cache->slot);
    free(cache);
}

static bool copy(const MapsResult *from, MapsResult *ret)
{
    unsigned char *bytes = malloc(from->bytes.size > 0 ? from->bytes.size : 1);

    if (bytes == NULL)
        return false;
    memcpy(bytes, from->bytes.data, from->bytes.size);
    *ret = *from;
    ret->bytes.data = bytes;
    return true;
}

bool maps_cache_get(MapsCache *cache, const char *key, MapsResult *ret)
{
    uint32_t at;
    bool there;

    pthread_mutex_lock(&cache->lock);
    at = find(cache, key);
    there = at != 0 && copy(&cache->slot[at].result, ret);
    if (there) {
        leave_list(cache, at);
        enter_list(cache, at);
        cache->counts.cached++;
    }
    pthread_mutex_unlock(&cache->lock);
    return there;
}

void maps_cache_put(MapsCache *cache, const MapsResult *result)
{
    MapsResult own = { .is_new = false };
    bool fits = sizeof(Slot) + result->bytes.size <= cache->capacity && copy(result, &own), kept;

    pthread_mutex_lock(&cache->lock);
    cache->counts.computed++;
    kept = fits && find(cache, result->key) == 0;
    if (kept)
        keep(cache, &own);
    pthread_mutex_unlock(&cache->lock);
    if (!kept)
        bytes_clear(&own.bytes);
}

MapsCounts maps_cache_counts(MapsCache *cache)
{
    MapsCounts counts;

    pthread_mutex_lock(&cache->lock);
    counts = cache->counts;
    pthread_mutex_unlock(&cache->lock);
    return counts;
}
