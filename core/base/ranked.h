/* ranked - a sorted set that knows each member's rank: an intrusive treap that counts its left sides.
 * thread: the owner's.
 * owns:   nothing; a node is in one set at a time. Of equal keys the later comes after.
 * fails:  never, and never allocates.
 *
 * Seidel and Aragon 1996; a node's heap order is a hash of its key and address, so neither sorted nor
 * equal keys bend it. insert, remove and rank take O(log n) expected; first, last, count and an insert
 * at the end O(1), since a left side does not grow by what comes after it. */
#ifndef CORE_BASE_RANKED_H
#define CORE_BASE_RANKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ranked_node {
    struct ranked_node *parent, *left, *right;
    uint64_t key;
    uint32_t rank; /* in the subtree below and with it, from 1; 0: in no set */
};

struct ranked {
    struct ranked_node *root, *first, *last; /* NULL when empty */
    uint32_t count;
};

void ranked_insert(struct ranked *set, struct ranked_node *node, uint64_t key);
void ranked_remove(struct ranked *set, struct ranked_node *node);
struct ranked_node *ranked_next(const struct ranked_node *node); /* NULL after the last */
/* How many members come before it: 0 for the first. */
size_t ranked_rank(const struct ranked_node *node);

static inline struct ranked_node *ranked_first(const struct ranked *set) {
    return set->first;
}
static inline struct ranked_node *ranked_last(const struct ranked *set) {
    return set->last;
}
static inline size_t ranked_count(const struct ranked *set) {
    return set->count;
}
static inline bool ranked_is_member(const struct ranked_node *node) {
    return node->rank > 0;
}

#endif
