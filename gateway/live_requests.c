#include "gateway/live_requests.h"

#include <assert.h>
#include <stdio.h>
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

/* Its bits are not those that choose the bucket. */
static struct live_shard *shard_of(struct live_requests *set, uint64_t hash) {
    return &set->shards[(hash >> 48) % LIVE_SHARDS];
}

static struct live_request **bucket_of(const struct live_shard *shard, uint64_t hash) {
    return &shard->buckets[hash & shard->mask];
}

static struct live_request *find_in(struct live_request *bucket, uint64_t hash, const char *id) {
    while (bucket != NULL && (bucket->hash != hash || strcmp(bucket->id, id) != 0))
        bucket = bucket->next;
    return bucket;
}

enum outcome live_requests_open(struct live_requests *set, size_t expected) {
    size_t buckets = 8;
    while (buckets * LIVE_SHARDS < expected) buckets *= 2;
    *set = (struct live_requests){.seed = 0};
    if (getrandom(&set->seed, sizeof set->seed, 0) != sizeof set->seed) set->seed = 0x9e3779b9;
    pthread_mutex_init(&set->watched_lock, NULL);
    bool complete = (set->watched = calloc(LIVE_WATCHED, sizeof *set->watched)) != NULL;
    for (size_t i = 0; i < LIVE_SHARDS; i++) {
        struct live_shard *shard = &set->shards[i];
        pthread_mutex_init(&shard->lock, NULL);
        shard->mask = buckets - 1;
        shard->buckets = calloc(buckets, sizeof(struct live_request *));
        complete = complete && shard->buckets != NULL;
    }
    if (complete) return OK;
    live_requests_close(set);
    return MEMORY_EXHAUSTED;
}

void live_requests_close(struct live_requests *set) {
    for (size_t i = 0; i < LIVE_SHARDS; i++) {
        assert(set->shards[i].count == 0);
        free(set->shards[i].buckets);
        pthread_mutex_destroy(&set->shards[i].lock);
    }
    free(set->watched);
    set->watched = NULL;
    pthread_mutex_destroy(&set->watched_lock);
}

bool live_requests_add(struct live_requests *set, struct live_request *entry, const char *id) {
    assert(entry->id == NULL);
    uint64_t hash = hash_of(set->seed, id);
    struct live_shard *shard = shard_of(set, hash);
    struct live_request **bucket = bucket_of(shard, hash);
    pthread_mutex_lock(&shard->lock);
    bool is_free = find_in(*bucket, hash, id) == NULL;
    if (is_free) {
        *entry = (struct live_request){.next = *bucket, .hash = hash, .id = id};
        *bucket = entry;
        shard->count++;
    }
    pthread_mutex_unlock(&shard->lock);
    return is_free;
}

void live_requests_remove(struct live_requests *set, struct live_request *entry) {
    assert(entry->id != NULL);
    struct live_shard *shard = shard_of(set, entry->hash);
    struct live_request **link = bucket_of(shard, entry->hash);
    pthread_mutex_lock(&shard->lock);
    while (*link != entry) link = &(*link)->next;
    *link = entry->next;
    shard->count--;
    pthread_mutex_unlock(&shard->lock);
    *entry = (struct live_request){.id = NULL};
}

size_t live_requests_count(struct live_requests *set) {
    size_t count = 0;
    for (size_t i = 0; i < LIVE_SHARDS; i++) {
        pthread_mutex_lock(&set->shards[i].lock);
        count += set->shards[i].count;
        pthread_mutex_unlock(&set->shards[i].lock);
    }
    return count;
}

void live_request_submitted(struct live_request *entry, uint64_t number) {
    atomic_store_explicit(&entry->number, number, memory_order_relaxed);
}

void live_requests_watch(struct live_requests *set, const char *id, uint64_t number) {
    pthread_mutex_lock(&set->watched_lock);
    struct watched_request *watched = &set->watched[set->watched_next++ % LIVE_WATCHED];
    snprintf(watched->id, sizeof watched->id, "%s", id);
    watched->number = number;
    pthread_mutex_unlock(&set->watched_lock);
}

static uint64_t find_watched(struct live_requests *set, const char *id) {
    uint64_t number = 0;
    pthread_mutex_lock(&set->watched_lock);
    for (size_t i = 0; number == 0 && i < LIVE_WATCHED; i++)
        if (strcmp(set->watched[i].id, id) == 0) number = set->watched[i].number;
    pthread_mutex_unlock(&set->watched_lock);
    return number;
}

uint64_t live_requests_find(struct live_requests *set, const char *id) {
    uint64_t hash = hash_of(set->seed, id), number = 0;
    struct live_shard *shard = shard_of(set, hash);
    pthread_mutex_lock(&shard->lock);
    const struct live_request *found = find_in(*bucket_of(shard, hash), hash, id);
    if (found != NULL) number = atomic_load_explicit(&found->number, memory_order_relaxed);
    pthread_mutex_unlock(&shard->lock);
    return number != 0 ? number : find_watched(set, id);
}
