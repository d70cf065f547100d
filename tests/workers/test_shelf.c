/* shelf: a text that comes again is not embedded again, and never gets another text's vector. */
#include "workers/embed/shelf.c"
#include "workers/embed/text_features.c"
#include "workers/embed/utf8.c"

#include "tests/core/chance.h"
#include "tests/support/suite.h"

#include <stdio.h>

#define DIMENSIONS 16

static struct shelf shelf;
static size_t words;

static float *embed(const char *text, size_t dimensions) {
    const float *vector;
    require(shelf_embed(&shelf, text, strlen(text), dimensions, &vector, &words) == FEATURES_OK);
    return (float *)(uintptr_t)vector;
}

START_TEST(a_text_that_is_there_is_not_embedded_again) {
    char copy[] = "waiting is work";
    ck_assert_int_eq(shelf_open(&shelf, DIMENSIONS), 0);
    float *vector = embed("waiting is work", DIMENSIONS);
    ck_assert_uint_eq(words, 3);
    vector[0] = 42; /* no text has such a vector: only the shelf can give it back */
    words = 0;
    ck_assert_float_eq(embed(copy, DIMENSIONS)[0], 42);
    ck_assert_uint_eq(words, 3);
    ck_assert_float_ne(embed(copy, DIMENSIONS / 2)[0], 42); /* another length is another vector */
    shelf_close(&shelf);
}
END_TEST

START_TEST(a_cleared_shelf_knows_no_text) {
    ck_assert_int_eq(shelf_open(&shelf, DIMENSIONS), 0);
    embed("a", DIMENSIONS)[0] = 42;
    shelf_clear(&shelf);
    ck_assert_float_ne(embed("a", DIMENSIONS)[0], 42);
    shelf_close(&shelf);
}
END_TEST

START_TEST(what_has_no_vector_is_not_kept) {
    const float *vector;
    ck_assert_int_eq(shelf_open(&shelf, DIMENSIONS), 0);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(shelf_embed(&shelf, "\xff", 1, DIMENSIONS, &vector, &words),
                         FEATURES_NOT_UTF8);
        ck_assert_int_eq(shelf_embed(&shelf, NULL, 0, DIMENSIONS, &vector, &words),
                         FEATURES_NO_WORDS);
    }
    shelf_close(&shelf);
}
END_TEST

START_TEST(every_text_gets_its_own_vector_in_any_order) {
    enum { TEXTS = 300 };
    static char texts[TEXTS][32];
    struct chance chance = chance_open();
    ck_assert_int_eq(shelf_open(&shelf, DIMENSIONS), 0);
    for (int i = 0; i < TEXTS; i++) snprintf(texts[i], sizeof texts[i], "text %d of many", i);
    for (int round = 0; round < 20000; round++) {
        const char *text = texts[chance_below(&chance, TEXTS)];
        size_t dimensions = 8 + 8 * chance_below(&chance, 2), words_alone;
        float alone[DIMENSIONS];
        require(features_embed(text, strlen(text), alone, dimensions, &words_alone) == FEATURES_OK);
        require(memcmp(embed(text, dimensions), alone, dimensions * sizeof *alone) == 0);
        require(words == words_alone);
        if (chance_percent(&chance, 1)) shelf_clear(&shelf);
    }
    shelf_close(&shelf);
}
END_TEST

SUITE("workers/embed/shelf", 60, a_text_that_is_there_is_not_embedded_again,
      a_cleared_shelf_knows_no_text, what_has_no_vector_is_not_kept,
      every_text_gets_its_own_vector_in_any_order)
