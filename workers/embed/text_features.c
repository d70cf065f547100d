#include "text_features.h"

#include "utf8.h"

#include <assert.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define RUN_MIN      3
#define RUN_MAX      5
#define WORD_MARK    UINT32_C(0x20) /* stands before and after a word; no word contains it */
#define WEIGHT_SCALE 4096           /* 1 + ln n is rounded to this fraction */

/* A word weighs as much as it has characters, within bounds: frequent words, which tell little, are
 * short (Zipf 1935). It has about three runs for each character, so that these weigh less. */
#define WORD_WEIGHT_MAX 8
#define PAIR_WEIGHT     4
#define RUN_WEIGHT      2

/* Open addressing; a feature with no times is an empty place. */
struct feature {
    uint64_t hash;
    uint32_t times;
    uint32_t weight;
};

struct table {
    struct feature *features;
    size_t mask;
};

/* One word as it is read, and the hash of it after its predecessor. */
struct scan {
    struct table table;
    uint32_t last[RUN_MAX]; /* its last characters, the newest first */
    size_t marked;          /* how many it has so far, the marks included */
    uint64_t word, pair;
    size_t words;
};

/* ---- hashes ---- */

/* FNV-1a (Fowler, Noll and Vo) over the four octets of each character, lowest first … */
#define HASH_OF_WORDS UINT64_C(0xcbf29ce484222325)
#define HASH_OF_RUNS  (HASH_OF_WORDS ^ UINT64_C(0x9e3779b97f4a7c15))

static uint64_t hash_extend(uint64_t hash, uint32_t character) {
    for (unsigned shift = 0; shift < 32; shift += 8)
        hash = (hash ^ ((character >> shift) & 0xFF)) * UINT64_C(0x100000001b3);
    return hash;
}

/* … then the finalizer of MurmurHash3 (Appleby), so that every bit depends on all. */
static uint64_t hash_finish(uint64_t hash) {
    hash = (hash ^ (hash >> 33)) * UINT64_C(0xff51afd7ed558ccd);
    hash = (hash ^ (hash >> 33)) * UINT64_C(0xc4ceb9fe1a85ec53);
    return hash ^ (hash >> 33);
}

/* ---- counting ---- */

/* A word of n characters takes n bytes at least and is 3n features at most: one word, one pair,
 * 3n - 3 runs (one for n = 1). Four places for each byte leave a quarter of them empty. */
static int table_open(struct table *table, size_t text_bytes) {
    size_t places = 16;
    while (places < text_bytes * 4) places *= 2;
    table->features = calloc(places, sizeof *table->features);
    table->mask = places - 1;
    return table->features == NULL ? -1 : 0;
}

static void table_count(struct table *table, uint64_t hash, uint32_t weight) {
    hash = hash_finish(hash);
    size_t place = hash & table->mask;
    struct feature *feature = &table->features[place];
    while (feature->times > 0 && (feature->hash != hash || feature->weight != weight)) {
        place = (place + 1) & table->mask;
        feature = &table->features[place];
    }
    feature->hash = hash;
    feature->weight = weight;
    feature->times++;
}

/* ---- reading ---- */

/* Counts the runs that end with this character; read backwards, each is the start of the next. */
static void scan_character(struct scan *scan, uint32_t character) {
    memmove(&scan->last[1], &scan->last[0], sizeof scan->last - sizeof scan->last[0]);
    scan->last[0] = character;
    scan->marked++;
    uint64_t hash = HASH_OF_RUNS;
    for (size_t i = 0; i < RUN_MAX && i < scan->marked; i++) {
        hash = hash_extend(hash, scan->last[i]);
        if (i + 1 >= RUN_MIN) table_count(&scan->table, hash, RUN_WEIGHT);
    }
}

static void scan_word_character(struct scan *scan, uint32_t character) {
    if (scan->marked == 0) {
        scan->pair = hash_extend(scan->word, WORD_MARK);
        scan->word = HASH_OF_WORDS;
        scan_character(scan, WORD_MARK);
    }
    scan->word = hash_extend(scan->word, character);
    scan->pair = hash_extend(scan->pair, character);
    scan_character(scan, character);
}

static void scan_word_end(struct scan *scan) {
    if (scan->marked == 0) return;
    scan_character(scan, WORD_MARK);
    size_t length = scan->marked - 2;
    uint32_t weight = length < WORD_WEIGHT_MAX ? (uint32_t)length : WORD_WEIGHT_MAX;
    table_count(&scan->table, scan->word, weight);
    if (scan->words > 0) table_count(&scan->table, scan->pair, PAIR_WEIGHT);
    scan->words++;
    scan->marked = 0;
}

static enum features_result scan_text(struct scan *scan, const unsigned char *text, size_t bytes) {
    for (size_t taken; bytes > 0; text += taken, bytes -= taken) {
        uint32_t character;
        taken = utf8_decode(text, bytes, &character);
        if (taken == 0) return FEATURES_NOT_UTF8;
        bool alone = codepoint_is_word(character);
        if (alone || !codepoint_in_word(character)) scan_word_end(scan);
        if (codepoint_in_word(character)) scan_word_character(scan, codepoint_fold(character));
        if (alone) scan_word_end(scan);
    }
    scan_word_end(scan);
    return scan->words > 0 ? FEATURES_OK : FEATURES_NO_WORDS;
}

/* ---- the vector ---- */

/* The error of log is far below half a unit of the rounding, so that the result is the same with
 * every libm. */
static int64_t weight_of(const struct feature *feature) {
    double sublinear = feature->times == 1 ? 1 : 1 + log((double)feature->times);
    return (int64_t)feature->weight * (int64_t)(sublinear * WEIGHT_SCALE + 0.5);
}

/* Bounds: a weight is below 2^19 and there are fewer than 2^22 of them, so that a sum fits 2^41 and
 * the squares of 2^12 dimensions fit 2^94. */
static enum features_result project(const struct table *table, int64_t *sums, float *out,
                                    size_t dimensions) {
    for (size_t place = 0; place <= table->mask; place++) {
        const struct feature *feature = &table->features[place];
        if (feature->times == 0) continue;
        int64_t weight = weight_of(feature);
        sums[feature->hash % dimensions] += feature->hash >> 63 ? -weight : weight;
    }
    unsigned __int128 squares = 0;
    for (size_t i = 0; i < dimensions; i++)
        squares += (unsigned __int128)((__int128)sums[i] * sums[i]);
    if (squares == 0) return FEATURES_NO_WORDS;
    double length = sqrt((double)squares);
    for (size_t i = 0; i < dimensions; i++) out[i] = (float)((double)sums[i] / length);
    return FEATURES_OK;
}

enum features_result features_embed(const char *text, size_t text_bytes, float *out,
                                    size_t dimensions, size_t *words) {
    assert(dimensions > 0);
    *words = 0;
    for (size_t i = 0; i < dimensions; i++) out[i] = 0;
    if (text_bytes > FEATURES_TEXT_BYTES_MAX) return FEATURES_TOO_LONG;

    struct scan scan = {.word = HASH_OF_WORDS};
    int64_t *sums = calloc(dimensions, sizeof *sums);
    enum features_result result = FEATURES_NO_MEMORY;
    if (sums != NULL && table_open(&scan.table, text_bytes) == 0)
        result = scan_text(&scan, (const unsigned char *)text, text_bytes);
    if (result == FEATURES_OK) result = project(&scan.table, sums, out, dimensions);
    *words = scan.words;
    free(scan.table.features);
    free(sums);
    return result;
}
