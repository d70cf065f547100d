/* text_features - a text as a vector of unit length, by signed feature hashing (Weinberger, Dasgupta,
 * Langford, Smola and Attenberg 2009, "Feature Hashing for Large Scale Multitask Learning").
 * thread: any; pure.
 * owns:   nothing; out is the caller's, dimensions floats long.
 * fails:  see the results; out is all zeros then.
 *
 * Features are a text's words, its pairs of neighbouring words, and the runs of 3 to 5 characters
 * inside each word, whose ends are marked; all case folded (utf8.h). One that occurs n times weighs
 * 1 + ln n times what it weighs once. Its hash chooses a dimension and a sign.
 *
 * The same text gives the same bits on every machine: sums are whole numbers, and the one square
 * root and the divisions are those that IEEE 754 rounds exactly. */
#ifndef WORKERS_EMBED_TEXT_FEATURES_H
#define WORKERS_EMBED_TEXT_FEATURES_H

#include <stddef.h>

#define FEATURES_TEXT_BYTES_MAX ((size_t)1 << 20) /* bounds the table: 64 bytes for each of these */

enum features_result {
    FEATURES_OK,
    FEATURES_NOT_UTF8,
    FEATURES_NO_WORDS, /* or, hardly ever, words that cancel each other out */
    FEATURES_TOO_LONG,
    FEATURES_NO_MEMORY
};

/* words: how many the text has. */
enum features_result features_embed(const char *text, size_t text_bytes, float *out,
                                    size_t dimensions, size_t *words);

#endif
