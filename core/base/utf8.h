/* utf8 - one character of UTF-8 (RFC 3629): where it ends, and whether it controls instead of showing.
 * thread: any; pure.
 * owns:   nothing.
 * fails:  never. */
#ifndef CORE_BASE_UTF8_H
#define CORE_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* Bytes of the character that text begins with; 0 when it is none: overlong, a surrogate, beyond
 * U+10FFFF, or cut short by the end after `left` bytes (at least one). */
size_t utf8_length(const char *text, size_t left);
/* C0, DEL or C1; of a text that utf8_length accepts. */
bool utf8_is_control(const char *character);

#endif
