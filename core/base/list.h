/* list - intrusive doubly linked list; a node is in one list at a time.
 * thread: the owner's. owns: nothing. fails: never. */
#ifndef CORE_BASE_LIST_H
#define CORE_BASE_LIST_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>

struct list_node {
    struct list_node *next, *previous;
};

#define LIST_ENTRY(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))

static inline void list_init(struct list_node *head) {
    head->next = head->previous = head;
}
static inline bool list_empty(const struct list_node *head) {
    return head->next == head;
}

static inline void list_insert_after(struct list_node *where, struct list_node *node) {
    node->previous = where;
    node->next = where->next;
    where->next->previous = node;
    where->next = node;
}

static inline void list_push_back(struct list_node *head, struct list_node *node) {
    list_insert_after(head->previous, node);
}

static inline void list_remove(struct list_node *node) {
    assert(node->next != NULL && node->previous != NULL); /* it is in a list */
    node->previous->next = node->next;
    node->next->previous = node->previous;
    node->next = node->previous = NULL;
}

#endif
