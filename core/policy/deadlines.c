#include "core/policy/deadlines.h"

#define LOOK_BACK 8 /* places from the end of the line */

static struct request *of_node(const struct list_node *node) {
    return LIST_ENTRY(node, struct request, deadline_node);
}

static bool expires_before(const void *a, const void *b) {
    return ((const struct request *)a)->deadline_ns < ((const struct request *)b)->deadline_ns;
}

static void deadline_placed(void *element, size_t index) {
    ((struct request *)element)->deadline_index =
        index != HEAP_NOWHERE ? (uint32_t)index : REQUEST_NOWHERE;
}

enum outcome deadlines_init(struct deadlines *deadlines, size_t room) {
    list_init(&deadlines->line);
    heap_init(&deadlines->others, expires_before, deadline_placed);
    return heap_reserve(&deadlines->others, room);
}

void deadlines_free(struct deadlines *deadlines) {
    heap_free(&deadlines->others);
}

void deadlines_add(struct deadlines *deadlines, struct request *request) {
    struct list_node *line = &deadlines->line, *at = line->previous;
    for (int i = 0; i < LOOK_BACK; i++, at = at->previous) {
        if (at != line && of_node(at)->deadline_ns > request->deadline_ns) continue;
        list_insert_after(at, &request->deadline_node);
        return;
    }
    heap_insert(&deadlines->others, request);
}

void deadlines_remove(struct deadlines *deadlines, struct request *request) {
    if (request->deadline_node.next != NULL) list_remove(&request->deadline_node);
    if (request->deadline_index != REQUEST_NOWHERE)
        heap_remove(&deadlines->others, request->deadline_index);
}

struct request *deadlines_first(const struct deadlines *deadlines) {
    struct request *other = heap_first(&deadlines->others);
    if (list_empty(&deadlines->line)) return other;
    struct request *first = of_node(deadlines->line.next);
    return other != NULL && other->deadline_ns < first->deadline_ns ? other : first;
}
