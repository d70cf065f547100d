/* utf8 - UTF-8 to code points, their simple case folding, and what makes a word.
 * thread: any; pure.
 * owns:   nothing.
 * fails:  utf8_decode returns 0 on bytes that RFC 3629 does not allow (overlong forms, surrogates,
 *         anything beyond U+10FFFF, an end in the middle).
 *
 * Folding follows the C and S entries of Unicode's CaseFolding.txt for Basic Latin, Latin-1, Latin
 * Extended-A, Greek and Cyrillic (U+0000 to U+017F, U+0370 to U+052F); everything else stays as it
 * is. Nothing is normalised: a letter with an accent and the same letter with a combining accent
 * are two texts. */
#ifndef WORKERS_EMBED_UTF8_H
#define WORKERS_EMBED_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The first code point of bytes > 0 bytes; returns how many bytes it took. */
size_t utf8_decode(const unsigned char *text, size_t bytes, uint32_t *code_point);

uint32_t codepoint_fold(uint32_t code_point);

/* Letters, digits, marks and symbols of all scripts; not spaces, controls and punctuation. */
bool codepoint_in_word(uint32_t code_point);

/* Han and kana are written without spaces: each character is a word of its own. */
bool codepoint_is_word(uint32_t code_point);

#endif
