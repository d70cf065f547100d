/* ranked - a sorted set that knows each member's rank: an intrusive treap with subtree sizes.
 * thread: the owner's.
 * owns:   nothing; a node is in one set at a time. Keys in one set differ.
 * fails:  never, and never allocates.
 *
 * Seidel and Aragon 1996; a node's heap order comes from a hash of its key, so the shape depends on
 * nothing but the keys. insert, remove and rank take O(log n) expected, first and last as well. */
#ifndef CORE_BASE_RANKED_H
#define CORE_BASE_RANKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ranked_node {
    struct ranked_node *parent, *left, *right;
    uint64_t key;
    uint32_t size; /* of the subtree below and with it; 0: in no set */
};

struct ranked {
    struct ranked_node *root;
};

void ranked_insert(struct ranked *set, struct ranked_node *node, uint64_t key);
void ranked_remove(struct ranked *set, struct ranked_node *node);
struct ranked_node *ranked_first(const struct ranked *set); /* NULL when empty */
struct ranked_node *ranked_last(const struct ranked *set);  /* NULL when empty */
struct ranked_node *ranked_next(const struct ranked_node *node); /* NULL after the last */
/* How many members come before it: 0 for the first. */
size_t ranked_rank(const struct ranked_node *node);

static inline size_t ranked_count(const struct ranked *set) {
    return set->root != NULL ? set->root->size : 0;
}

#endif
