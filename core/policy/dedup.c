#include "core/policy/dedup.h"

#include "core/base/secret.h"

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

/* What was said so far, with one part more. Its length goes in beside its hash: no two lists of parts
 * make the same chain of bytes, wherever one part ends and the next begins. */
struct link {
    XXH128_hash_t before, part;
    uint64_t bytes;
};
static_assert(sizeof(struct link) == 40, "no padding: all of it is hashed");

struct chain {
    const uint8_t *secret;
    XXH128_hash_t sum;
};

static void add_part(struct chain *chain, const void *data, size_t bytes) {
    const uint8_t *secret = chain->secret;
    struct link link = {.before = chain->sum,
                        .part = XXH3_128bits_withSecret(data, bytes, secret, SECRET_BYTES),
                        .bytes = bytes};
    chain->sum = XXH3_128bits_withSecret(&link, sizeof link, secret, SECRET_BYTES);
}

static void add_text(struct chain *chain, const char *text) {
    add_part(chain, text, strlen(text));
}

static void add_metadata(struct chain *chain, const struct request *request) {
    add_part(chain, &request->metadata_count, sizeof request->metadata_count);
    for (size_t i = 0; i < request->metadata_count; i++) {
        add_text(chain, request->metadata[i].name);
        add_text(chain, request->metadata[i].value);
    }
}

void dedup_digest(struct request *request) {
    struct chain chain = {.secret = secret_bytes()};
    size_t bytes = request->body != NULL ? request->body->bytes : 0;
    const uint8_t *data = bytes > 0 ? body_data(request->body) : NULL;
    request->digest[0] = request->digest[1] = 0;
    if (chain.secret == NULL || (bytes > 0 && data == NULL)) return;
    add_part(&chain, &request->pool, sizeof request->pool);
    add_text(&chain, request->tenant);
    add_text(&chain, request->operation);
    add_text(&chain, request->content_type);
    add_metadata(&chain, request);
    add_part(&chain, data, bytes);
    request->digest[0] = chain.sum.low64;
    request->digest[1] = chain.sum.high64;
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
