#include "core/policy/pick.h"

static bool better(const struct slot *a, const struct slot *b) {
    if (a->inflight != b->inflight) return a->inflight < b->inflight;
    return a->last_used_ns > b->last_used_ns;
}

struct slot *pick_least_loaded(struct slot *slots, size_t count, bool solo) {
    struct slot *best = NULL;
    for (size_t i = 0; i < count; i++)
        if (slot_room(&slots[i], solo) > 0 && (best == NULL || better(&slots[i], best)))
            best = &slots[i];
    return best;
}
