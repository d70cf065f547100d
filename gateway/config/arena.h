/* arena - memory that is given back all at once.
 * thread: the owner's.
 * owns:   everything it handed out; arena_free releases it.
 * fails:  NULL: out of memory; what was handed out before stays. */
#ifndef GATEWAY_CONFIG_ARENA_H
#define GATEWAY_CONFIG_ARENA_H

#include <stddef.h>

struct arena_block;

struct arena {
    struct arena_block *blocks;
};

void *arena_take(struct arena *arena, size_t bytes);                   /* zeroed */
char *arena_text(struct arena *arena, const char *text, size_t bytes); /* a copy, with its end */
void arena_free(struct arena *arena);                                  /* leaves it empty */

#endif
