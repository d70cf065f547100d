#include "gateway/live_requests.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* Fowler, Noll and Vo's hash (FNV-1a), started from a secret and mixed at the end. */
static uint64_t hash_of(uint64_t seed, const char *id) {
    uint64_t hash = UINT64_C(0xcbf29ce484222325) ^ seed;
    for (; *id != '\0'; id++) hash = (hash ^ (uint8_t)*id) * UINT64_C(0x100000001b3);
    hash ^= hash >> 32;
    return hash * (seed | 1) ^ (hash >> 29);
}

enum outcome live_requests_open(struct live_requests *set, size_t expected) {
    size_t buckets = 64;
    while (buckets < expected) buckets *= 2;
    *set = (struct live_requests){.mask = buckets - 1};
    set->buckets = calloc(buckets, sizeof(struct live_request *));
    if (set->buckets == NULL) return MEMORY_EXHAUSTED;
    if (getrandom(&set->seed, sizeof set->seed, 0) != sizeof set->seed) set->seed = 0x9e3779b9;
    return OK;
}

void live_requests_close(struct live_requests *set) {
    assert(set->count == 0);
    free(set->buckets);
    *set = (struct live_requests){0};
}

bool live_requests_add(struct live_requests *set, struct live_request *entry, const char *id) {
    assert(entry->id == NULL);
    uint64_t hash = hash_of(set->seed, id);
    struct live_request **bucket = &set->buckets[hash & set->mask];
    for (struct live_request *other = *bucket; other != NULL; other = other->next)
        if (other->hash == hash && strcmp(other->id, id) == 0) return false;
    *entry = (struct live_request){.next = *bucket, .hash = hash, .id = id};
    *bucket = entry;
    set->count++;
    return true;
}

void live_requests_remove(struct live_requests *set, struct live_request *entry) {
    assert(entry->id != NULL);
    struct live_request **link = &set->buckets[entry->hash & set->mask];
    while (*link != entry) link = &(*link)->next;
    *link = entry->next;
    *entry = (struct live_request){0};
    set->count--;
}
