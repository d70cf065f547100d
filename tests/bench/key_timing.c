/* key_timing - whether the time that a wrong key takes tells how wrong it is. Two kinds of token in random order,
 * each sample a batch of checks, then Welch's t over the samples of the two kinds (dudect, Reparaz, Balasch and
 * Verbauwhede 2017): |t| below 4.5 is no evidence of a difference. The slowest are cut off at several
 * thresholds, as dudect does, because interrupts hide a small one. Not a part of make test.
 *
 *     cmake --build build --target key_timing && build/bench/key_timing [SAMPLES] */
#include "core/base/clock.h"
#include "gateway/keys/keys.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <x86intrin.h>

#define CUTS 6
static const double cuts[CUTS] = {1.0, 0.99, 0.95, 0.9, 0.75, 0.5};

struct moments {
    double count, mean, squares;
};

struct kind {
    const char *name;
    char text[TOKEN_DIGITS + 1];
};

static void moments_add(struct moments *moments, double value) {
    double before = value - moments->mean;
    moments->count++;
    moments->mean += before / moments->count;
    moments->squares += before * (value - moments->mean);
}

static double t_of(const struct moments *a, const struct moments *b) {
    double error = a->squares / (a->count - 1) / a->count + b->squares / (b->count - 1) / b->count;
    return error > 0 ? (a->mean - b->mean) / sqrt(error) : 0;
}

static int by_value(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static volatile size_t opened;

static uint32_t measure(const struct keys *keys, const char *text) {
    struct token token;
    _mm_lfence(); /* what came before is done */
    uint64_t began = __rdtsc();
    _mm_lfence();
    if (token_read(&token, text, TOKEN_DIGITS) && keys_verify(keys, &token) != NULL) opened++;
    _mm_lfence();
    return (uint32_t)(__rdtsc() - began);
}

static uint64_t random_state = 88172645463325252u;

static uint64_t next_random(void) { /* xorshift (Marsaglia 2003) */
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

/* The largest |t| over the cuts. */
static void compare(const struct keys *keys, const struct kind *a, const struct kind *b,
                    size_t samples) {
    uint32_t *ticks = malloc(samples * sizeof *ticks), *sorted = malloc(samples * sizeof *sorted);
    uint8_t *which = malloc(samples);
    /* Both are shown from one place and chosen without a branch, so that no cache line and no guess of
     * the processor tells them apart. */
    static _Alignas(128) char text[128], texts[2][128];
    double worst = 0;
    memcpy(texts[0], a->text, sizeof a->text);
    memcpy(texts[1], b->text, sizeof b->text);
    for (size_t i = 0; i < samples; i++) {
        which[i] = (uint8_t)(next_random() >> 60 & 1);
        memcpy(text, texts[which[i]], sizeof text);
        ticks[i] = measure(keys, text);
    }
    memcpy(sorted, ticks, samples * sizeof *ticks);
    qsort(sorted, samples, sizeof *sorted, by_value);
    printf("%s against %s: median %u ticks, t =", a->name, b->name, sorted[samples / 2]);
    for (int cut = 0; cut < CUTS; cut++) {
        uint32_t most = sorted[(size_t)((double)(samples - 1) * cuts[cut])];
        struct moments kinds[2] = {{.count = 0}, {.count = 0}};
        for (size_t i = 0; i < samples; i++)
            if (ticks[i] <= most) moments_add(&kinds[which[i]], ticks[i]);
        double t = t_of(&kinds[0], &kinds[1]);
        if (fabs(t) > worst) worst = fabs(t);
        printf(" %.2f (%.0f %%)", t, 100 * cuts[cut]);
    }
    printf("; |t| at most %.2f\n", worst);
    free(ticks);
    free(sorted);
    free(which);
}

static void make_key(struct keys *keys, char text[TOKEN_DIGITS + 1]) {
    struct api_key key = {.name = "k", .tenant = "t", .scopes = 1};
    struct token token;
    if (!token_make(&token, key.salt) || !token_hash(&token, key.salt, key.hash)) exit(1);
    memcpy(key.id, token.id, sizeof key.id);
    if (keys_add(keys, &key) != OK) exit(1);
    token_write(&token, text);
}

static void differ_at(struct kind *kind, const char *right, size_t at) {
    memcpy(kind->text, right, sizeof kind->text);
    kind->text[at] = right[at] == '0' ? '1' : '0';
}

int main(int argc, char **argv) {
    size_t samples = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000000;
    struct keys *keys;
    char right[TOKEN_DIGITS + 1], other[TOKEN_DIGITS + 1];
    if (samples < 1000 || keys_open(&keys) != OK) return 2;
    make_key(keys, right);
    for (int i = 0; i < 100; i++) make_key(keys, other);
    struct kind first = {.name = "wrong in its first digit"}, last = {.name = "wrong in its last"},
                same = {.name = "the same"}, unknown = {.name = "an unknown id"},
                good = {.name = "the right key"};
    differ_at(&first, right, TOKEN_DIGITS - 2 * TOKEN_SECRET_BYTES);
    differ_at(&last, right, TOKEN_DIGITS - 1);
    differ_at(&same, right, TOKEN_DIGITS - 1);
    differ_at(&unknown, right, 5);
    memcpy(good.text, right, sizeof right);
    compare(keys, &first, &last, samples / 10); /* warms up */
    printf("--- measured, %zu samples each\n", samples);
    compare(keys, &same, &last, samples);
    compare(keys, &first, &last, samples);
    compare(keys, &last, &good, samples);
    compare(keys, &last, &unknown, samples);
    keys_free(keys);
    return 0;
}
