#include "core/base/names.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS_LEAST 64
#define BUCKETS_MOST  16384
#define RECENT        16 /* a power of two */

struct sip {
    uint64_t a, b, c, d;
};

static uint64_t turn_left(uint64_t word, int bits) {
    return word << bits | word >> (64 - bits);
}

static void sip_round(struct sip *sip) {
    sip->a += sip->b;
    sip->c += sip->d;
    sip->b = turn_left(sip->b, 13) ^ sip->a;
    sip->d = turn_left(sip->d, 16) ^ sip->c;
    sip->a = turn_left(sip->a, 32);
    sip->c += sip->b;
    sip->a += sip->d;
    sip->b = turn_left(sip->b, 17) ^ sip->c;
    sip->d = turn_left(sip->d, 21) ^ sip->a;
    sip->c = turn_left(sip->c, 32);
}

static void sip_eat(struct sip *sip, uint64_t word) {
    sip->d ^= word;
    sip_round(sip);
    sip->a ^= word;
}

static uint64_t hash_of(uint64_t seed, const char *text, size_t bytes) {
    uint64_t other = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    struct sip sip = {
        .a = seed ^ UINT64_C(0x736f6d6570736575),
        .b = other ^ UINT64_C(0x646f72616e646f6d),
        .c = seed ^ UINT64_C(0x6c7967656e657261),
        .d = other ^ UINT64_C(0x7465646279746573),
    };
    uint64_t word;
    size_t left = bytes;
    for (; left >= sizeof word; left -= sizeof word, text += sizeof word) {
        memcpy(&word, text, sizeof word);
        sip_eat(&sip, word);
    }
    word = 0;
    memcpy(&word, text, left);
    sip_eat(&sip, word | (uint64_t)bytes << 56);
    sip.c ^= 0xff;
    for (int i = 0; i < 3; i++) sip_round(&sip);
    return sip.a ^ sip.b ^ sip.c ^ sip.d;
}

enum outcome names_init(struct names *names, size_t expected, uint64_t seed) {
    *names = (struct names){.buckets_count = BUCKETS_LEAST, .seed = seed};
    while (names->buckets_count < expected && names->buckets_count < BUCKETS_MOST)
        names->buckets_count *= 2;
    names->buckets = calloc(names->buckets_count + RECENT, sizeof(struct name *));
    if (names->buckets == NULL) return MEMORY_EXHAUSTED;
    names->recent = names->buckets + names->buckets_count;
    return OK;
}

void names_free(struct names *names) {
    free(names->buckets);
    names->buckets = NULL;
}

static struct name **bucket_of(const struct names *names, uint64_t hash) {
    return &names->buckets[hash & (names->buckets_count - 1)];
}

/* Whoever aims for one place of these makes its names no slower to find than they are without. */
static struct name **recent_of(const struct names *names, const char *text, size_t bytes) {
    unsigned last = bytes > 0 ? (unsigned char)text[bytes - 1] : 0;
    return &names->recent[(last + bytes) & (RECENT - 1)];
}

static bool is_called(const struct name *name, const char *text, size_t bytes) {
    return name->bytes == bytes && memcmp(name->text, text, bytes) == 0;
}

struct name *names_find(const struct names *names, const char *text, size_t bytes) {
    struct name **recent = recent_of(names, text, bytes);
    if (*recent != NULL && is_called(*recent, text, bytes)) return *recent;
    uint64_t hash = hash_of(names->seed, text, bytes);
    struct name *name = *bucket_of(names, hash);
    while (name != NULL && (name->hash != hash || !is_called(name, text, bytes))) name = name->next;
    if (name != NULL) *recent = name;
    return name;
}

void names_add(struct names *names, struct name *name) {
    name->hash = hash_of(names->seed, name->text, name->bytes);
    struct name **bucket = bucket_of(names, name->hash);
    name->next = *bucket;
    *bucket = name;
}

void names_remove(struct names *names, struct name *name) {
    struct name **recent = recent_of(names, name->text, name->bytes);
    if (*recent == name) *recent = NULL;
    struct name **link = bucket_of(names, name->hash);
    while (*link != name) link = &(*link)->next;
    *link = name->next;
    name->next = NULL;
}
