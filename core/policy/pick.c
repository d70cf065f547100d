#include "core/policy/pick.h"

#include "core/base/clock.h"

typedef bool better_fn(const struct slot *a, const struct slot *b);

static uint32_t load(const struct slot *slot) {
    return slot->inflight + slot->staged;
}

static bool less_loaded(const struct slot *a, const struct slot *b) {
    if (load(a) != load(b)) return load(a) < load(b);
    return a->last_used_ns > b->last_used_ns;
}

static bool more_recent(const struct slot *a, const struct slot *b) {
    if (a->last_used_ns != b->last_used_ns) return a->last_used_ns > b->last_used_ns;
    return load(a) < load(b);
}

static struct slot *best_of(struct slot *slots, size_t count, bool solo, better_fn *better) {
    struct slot *best = NULL;
    for (size_t i = 0; i < count; i++)
        if (slot_room(&slots[i], solo) > 0 && (best == NULL || better(&slots[i], best)))
            best = &slots[i];
    return best;
}

struct slot *pick_least_loaded(struct slot *slots, size_t count, bool solo) {
    return best_of(slots, count, solo, less_loaded);
}

struct slot *pick_most_recent(struct slot *slots, size_t count, bool solo) {
    return best_of(slots, count, solo, more_recent);
}

/* 32 random bits to a number below limit, each as likely as the others to within limit in 2^32. */
static size_t draw(uint32_t bits, size_t limit) {
    return (size_t)((uint64_t)bits * limit >> 32);
}

struct slot *pick_two_choices(struct slot *slots, size_t count, bool solo, uint64_t random) {
    if (count < 2) return pick_least_loaded(slots, count, solo);
    size_t first = draw((uint32_t)random, count),
           second = draw((uint32_t)(random >> 32), count - 1);
    if (second >= first) second++;
    struct slot *a = &slots[first], *b = &slots[second];
    bool has_a = slot_room(a, solo) > 0, has_b = slot_room(b, solo) > 0;
    if (has_a && has_b) return load(b) < load(a) ? b : a;
    if (has_a || has_b) return has_a ? a : b;
    return pick_least_loaded(slots, count, solo);
}

struct slot *pick_slot(enum pick_policy policy, struct slot *slots, size_t count, bool solo,
                       uint64_t random) {
    switch (policy) {
    case PICK_LEAST_LOADED: return pick_least_loaded(slots, count, solo);
    case PICK_MOST_RECENT: return pick_most_recent(slots, count, solo);
    case PICK_TWO_CHOICES: return pick_two_choices(slots, count, solo, random);
    }
    return NULL;
}

/* --- handing ahead ------------------------------------------------------------------------------------ */

static bool may_stage(const struct slot *slot) {
    return worker_state_can_serve(slot->record.state) && slot_room(slot, false) == 0 &&
           !slot->solo && !slot->checking && !slot->retiring && !slot->full;
}

struct slot *pick_for_staging(struct slot *slots, size_t count, uint32_t limit,
                              uint64_t busy_since_ns) {
    struct slot *best = NULL;
    for (size_t i = 0; i < count; i++) {
        struct slot *slot = &slots[i];
        if (slot->staged >= limit || slot->last_used_ns < busy_since_ns) continue;
        if (!may_stage(slot)) continue;
        if (best == NULL || slot->staged < best->staged ||
            (slot->staged == best->staged && slot->last_used_ns < best->last_used_ns))
            best = slot;
    }
    return best;
}
