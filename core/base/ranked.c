#include "core/base/ranked.h"

#include <assert.h>

/* Whoever has less of it stands higher in the tree. */
static uint64_t weight(const struct ranked_node *node) {
    uint64_t mixed = (node->key ^ (uint64_t)(uintptr_t)node) * UINT64_C(0x9e3779b97f4a7c15);
    mixed = (mixed ^ (mixed >> 32)) * UINT64_C(0xd6e8feb86659fd93);
    return mixed ^ (mixed >> 32);
}

/* What points at the node: its parent's side, or the root. */
static struct ranked_node **link_to(struct ranked *set, const struct ranked_node *node) {
    if (node->parent == NULL) return &set->root;
    return node->parent->left == node ? &node->parent->left : &node->parent->right;
}

static void hang(struct ranked_node **link, struct ranked_node *node, struct ranked_node *parent) {
    *link = node;
    if (node != NULL) node->parent = parent;
}

/* The node and its parent change places. */
static void rotate_up(struct ranked *set, struct ranked_node *node) {
    struct ranked_node *parent = node->parent;
    struct ranked_node **link = link_to(set, parent);
    hang(link, node, parent->parent);
    if (parent->left == node) {
        hang(&parent->left, node->right, parent);
        hang(&node->right, parent, node);
        parent->rank -= node->rank;
    } else {
        hang(&parent->right, node->left, parent);
        hang(&node->left, parent, node);
        node->rank += parent->rank;
    }
}

/* Hangs the node below all others where its key belongs. */
static void hang_low(struct ranked *set, struct ranked_node *node) {
    struct ranked_node *parent = NULL, **link = &set->root;
    while (*link != NULL) {
        parent = *link;
        if (node->key < parent->key) {
            parent->rank++;
            link = &parent->left;
        } else {
            link = &parent->right;
        }
    }
    hang(link, node, parent);
}

void ranked_insert(struct ranked *set, struct ranked_node *node, uint64_t key) {
    assert(node->rank == 0);
    *node = (struct ranked_node){.key = key, .rank = 1};
    bool is_last = set->last == NULL || key >= set->last->key;
    if (is_last && set->last != NULL)
        hang(&set->last->right, node, set->last);
    else
        hang_low(set, node);
    if (is_last) set->last = node;
    if (set->first == NULL || key < set->first->key) set->first = node;
    set->count++;
    uint64_t mine = weight(node);
    while (node->parent != NULL && mine < weight(node->parent)) rotate_up(set, node);
}

/* The two subtrees become one; everything in `left`, `left_count` nodes, comes before all in `right`. */
static void join(struct ranked_node **link, struct ranked_node *parent, struct ranked_node *left,
                 uint32_t left_count, struct ranked_node *right) {
    while (left != NULL && right != NULL) {
        struct ranked_node *top = weight(left) < weight(right) ? left : right;
        hang(link, top, parent);
        parent = top;
        if (top == left) {
            left_count -= top->rank;
            link = &top->right;
            left = *link;
        } else {
            top->rank += left_count;
            link = &top->left;
            right = *link;
        }
    }
    hang(link, left != NULL ? left : right, parent);
}

/* Who comes before the last one. */
static struct ranked_node *before_last(const struct ranked *set) {
    struct ranked_node *node = set->last->left;
    if (node == NULL) return set->last->parent;
    while (node->right != NULL) node = node->right;
    return node;
}

void ranked_remove(struct ranked *set, struct ranked_node *node) {
    assert(node->rank > 0);
    if (set->first == node) set->first = ranked_next(node);
    if (set->last == node) set->last = before_last(set);
    set->count--;
    for (const struct ranked_node *at = node; at->parent != NULL; at = at->parent)
        if (at->parent->left == at) at->parent->rank--;
    join(link_to(set, node), node->parent, node->left, node->rank - 1, node->right);
    *node = (struct ranked_node){0};
}

struct ranked_node *ranked_next(const struct ranked_node *node) {
    if (node->right != NULL) {
        struct ranked_node *next = node->right;
        while (next->left != NULL) next = next->left;
        return next;
    }
    while (node->parent != NULL && node->parent->right == node) node = node->parent;
    return node->parent;
}

size_t ranked_rank(const struct ranked_node *node) {
    assert(node->rank > 0);
    size_t rank = node->rank - 1;
    for (; node->parent != NULL; node = node->parent)
        if (node->parent->right == node) rank += node->parent->rank;
    return rank;
}
