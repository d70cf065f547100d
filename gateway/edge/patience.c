#include "gateway/edge/patience.h"

void patience_init(struct patience *patience) {
    for (int kind = 0; kind < PATIENCE_COUNT; kind++) list_init(&patience->lines[kind]);
}

void patience_stop(struct wait *wait) {
    if (patience_waits(wait)) list_remove(&wait->node);
}

void patience_start(struct patience *patience, struct wait *wait, enum patience_kind kind,
                    uint64_t now_ns) {
    patience_stop(wait);
    wait->kind = kind;
    wait->due_ns = now_ns + patience->lengths_ns[kind];
    list_push_back(&patience->lines[kind], &wait->node);
}

struct wait *patience_next_due(struct patience *patience, uint64_t now_ns) {
    for (int kind = 0; kind < PATIENCE_COUNT; kind++) {
        if (list_empty(&patience->lines[kind])) continue;
        struct wait *first = LIST_ENTRY(patience->lines[kind].next, struct wait, node);
        if (first->due_ns > now_ns) continue;
        list_remove(&first->node);
        return first;
    }
    return NULL;
}

bool patience_is_empty(const struct patience *patience) {
    for (int kind = 0; kind < PATIENCE_COUNT; kind++)
        if (!list_empty(&patience->lines[kind])) return false;
    return true;
}
