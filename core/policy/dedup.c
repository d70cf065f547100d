#include "core/policy/dedup.h"

#include "core/base/secret.h"
#include "core/base/uninitialized.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

static_assert(SECRET_BYTES >= XXH3_SECRET_SIZE_MIN, "too short for XXH3");

enum outcome dedup_init(struct dedup *dedup, uint64_t window_ns, size_t room) {
    *dedup = (struct dedup){.window_ns = window_ns};
    if (window_ns == 0) return OK;
    size_t count = 64;
    while (count < room && count <= SIZE_MAX / 2) count *= 2;
    dedup->buckets = calloc(count, sizeof(struct request *));
    if (dedup->buckets == NULL) return MEMORY_EXHAUSTED;
    dedup->buckets_count = count;
    return OK;
}

void dedup_free(struct dedup *dedup) {
    free(dedup->buckets);
    *dedup = (struct dedup){0};
}

/* What makes requests identical, each part behind its length, so that no two lists of parts are the same
 * bytes. Hashed by blocks: each full one gives way to its hash, which begins the next. A small request is
 * one block. */
#define BLOCK_BYTES 512

struct saying {
    const uint8_t *secret;
    size_t used;
    uint8_t block[BLOCK_BYTES];
};

static XXH128_hash_t sum_of(const struct saying *saying, const void *data, size_t bytes) {
    return XXH3_128bits_withSecret(data, bytes, saying->secret, SECRET_BYTES);
}

static void fold(struct saying *saying) {
    XXH128_hash_t before = sum_of(saying, saying->block, saying->used);
    memcpy(saying->block, &before, sizeof before);
    saying->used = sizeof before;
}

static void say_around(struct saying *saying, const uint8_t *data, size_t bytes) {
    while (bytes > BLOCK_BYTES - saying->used) {
        size_t room = BLOCK_BYTES - saying->used;
        memcpy(saying->block + saying->used, data, room);
        saying->used = BLOCK_BYTES;
        data += room;
        bytes -= room;
        fold(saying);
    }
    memcpy(saying->block + saying->used, data, bytes);
    saying->used += bytes;
}

static inline void say(struct saying *saying, const void *data, size_t bytes) {
    if (bytes > BLOCK_BYTES - saying->used) {
        say_around(saying, data, bytes);
    } else if (bytes > 0) {
        memcpy(saying->block + saying->used, data, bytes);
        saying->used += bytes;
    }
}

/* A part of more than a block goes in as its hash. */
static void say_part(struct saying *saying, const void *data, size_t bytes) {
    say(saying, &bytes, sizeof bytes);
    if (bytes <= BLOCK_BYTES) {
        say(saying, data, bytes);
        return;
    }
    XXH128_hash_t part = sum_of(saying, data, bytes);
    say(saying, &part, sizeof part);
}

static void say_text(struct saying *saying, const char *text) {
    say_part(saying, text, strlen(text));
}

static void say_metadata(struct saying *saying, const struct request *request) {
    say(saying, &request->metadata_count, sizeof request->metadata_count);
    for (size_t i = 0; i < request->metadata_count; i++) {
        say_text(saying, request->metadata[i].name);
        say_text(saying, request->metadata[i].value);
    }
}

void dedup_digest(struct request *request) {
    UNINITIALIZED struct saying saying; /* only what is said is read */
    size_t bytes = request->body != NULL ? request->body->bytes : 0;
    const uint8_t *data = bytes > 0 ? body_data(request->body) : NULL;
    request->digest[0] = request->digest[1] = 0;
    saying.secret = secret_bytes();
    saying.used = 0;
    if (saying.secret == NULL || (bytes > 0 && data == NULL)) return;
    say(&saying, &request->pool, sizeof request->pool);
    say_text(&saying, request->tenant);
    say_text(&saying, request->operation);
    say_text(&saying, request->content_type);
    say_metadata(&saying, request);
    say_part(&saying, data, bytes);
    XXH128_hash_t sum = sum_of(&saying, saying.block, saying.used);
    request->digest[0] = sum.low64;
    request->digest[1] = sum.high64;
}

static bool takes_part(const struct dedup *dedup, const struct request *request) {
    return dedup->buckets_count > 0 && (request->digest[0] | request->digest[1]) != 0;
}

static bool same_digest(const struct request *a, const struct request *b) {
    return a->digest[0] == b->digest[0] && a->digest[1] == b->digest[1];
}

/* What points at the one that leads this digest, or at the end of its bucket. */
static struct request **holder(const struct dedup *dedup, const struct request *request) {
    struct request **at = &dedup->buckets[request->digest[0] & (dedup->buckets_count - 1)];
    while (*at != NULL && !same_digest(*at, request)) at = &(*at)->next_by_digest;
    return at;
}

static void replace(struct request **at, struct request *heir) {
    heir->next_by_digest = (*at)->next_by_digest;
    (*at)->next_by_digest = NULL;
    *at = heir;
}

struct request *dedup_find(const struct dedup *dedup, const struct request *request,
                           uint64_t now_ns) {
    if (!takes_part(dedup, request)) return NULL;
    struct request *leader = *holder(dedup, request);
    if (leader == NULL || leader == request) return NULL;
    return now_ns - leader->led_ns <= dedup->window_ns ? leader : NULL;
}

void dedup_lead(struct dedup *dedup, struct request *leader, uint64_t now_ns) {
    leader->led_ns = now_ns;
    if (!takes_part(dedup, leader)) return;
    struct request **at = holder(dedup, leader);
    if (*at == leader) return;
    assert(leader->next_by_digest == NULL);
    if (*at != NULL)
        replace(at, leader); /* nobody may join that one any more */
    else
        *at = leader;
}

void dedup_forget(struct dedup *dedup, struct request *leader) {
    if (!takes_part(dedup, leader)) return;
    struct request **at = holder(dedup, leader);
    if (*at != leader) return;
    *at = leader->next_by_digest;
    leader->next_by_digest = NULL;
}

void dedup_succeed(struct dedup *dedup, struct request *leader, struct request *heir) {
    heir->led_ns = leader->led_ns;
    if (!takes_part(dedup, leader)) return;
    struct request **at = holder(dedup, leader);
    if (*at != leader) return;
    assert(heir != leader && same_digest(leader, heir) && heir->next_by_digest == NULL);
    replace(at, heir);
}
