#include "gateway/config/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct arena_block {
    struct arena_block *next;
    max_align_t memory[];
};

void *arena_take(struct arena *arena, size_t bytes) {
    struct arena_block *block = NULL;
    if (bytes <= SIZE_MAX - sizeof *block) block = calloc(1, sizeof *block + bytes);
    if (block == NULL) return NULL;
    block->next = arena->blocks;
    arena->blocks = block;
    return block->memory;
}

char *arena_text(struct arena *arena, const char *text, size_t bytes) {
    char *copy = arena_take(arena, bytes + 1);
    if (copy != NULL) memcpy(copy, text, bytes);
    return copy;
}

void arena_free(struct arena *arena) {
    while (arena->blocks != NULL) {
        struct arena_block *block = arena->blocks;
        arena->blocks = block->next;
        free(block);
    }
}
