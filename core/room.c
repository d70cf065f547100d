#include "core/room.h"

#include "core/life.h"

#include <stdlib.h>

#define NO_POOL UINT32_MAX

/* What its going gives: of what is charged where room is reserved, of what is held under pressure. */
enum worth { WORTH_CHARGED, WORTH_HELD };

static struct eviction_candidate candidate(const struct pools *pools, uint32_t pool,
                                           const struct slot *slot, enum worth worth) {
    const struct pool *of = pools->items[pool];
    /* One that is about to get the work that waits for it is not idle: it would load for nothing. */
    bool wanted = of->queue.waiting > 0 && of->wish != WISH_PAUSE;
    bool idle = worker_state_can_serve(slot->record.state) && slot_vacant(slot) &&
                !slot->checking && !wanted;
    uint64_t used_ns = slot->last_used_ns > slot->ready_ns ? slot->last_used_ns : slot->ready_ns;
    uint64_t declared = slot->guard.declared_bytes, measured = slot->guard.measured_bytes;
    uint64_t larger = declared > measured ? declared : measured;
    return (struct eviction_candidate){.pool = pool,
                                       .slot = slot->index,
                                       .idle = idle,
                                       .pool_has_work = of->queue.live > 0,
                                       .pool_able = pool_able(of),
                                       .pool_min = of->leaving ? 0 : of->slots_min,
                                       .last_used_ns = used_ns,
                                       .bytes = worth == WORTH_CHARGED || measured == 0 ? larger
                                                                                        : measured};
}

static size_t count_slots(const struct pools *pools) {
    size_t slots = 0;
    for (size_t i = 0; i < pools->count; i++)
        if (pools->items[i] != NULL) slots += pools->items[i]->slots_count;
    return slots;
}

static void list_candidates(const struct pools *pools, enum worth worth,
                            struct eviction_candidate *out) {
    for (uint32_t i = 0; i < pools->count; i++)
        for (uint32_t j = 0; pools->items[i] != NULL && j < pools->items[i]->slots_count; j++)
            *out++ = candidate(pools, i, &pools->items[i]->slots[j], worth);
}

/* Bytes of workers that are on their way out already. */
static uint64_t leaving_bytes(const struct pools *pools, enum worth worth) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < pools->count; i++) {
        const struct pool *pool = pools->items[i];
        for (uint32_t j = 0; pool != NULL && j < pool->slots_count; j++) {
            const struct slot *slot = &pool->slots[j];
            bool leaves =
                slot->record.state == WORKER_EVICTING || slot->record.state == WORKER_FAILED;
            if (leaves) bytes += candidate(pools, (uint32_t)i, slot, worth).bytes;
        }
    }
    return bytes;
}

/* Marks the chosen as gone, also for those of its pool that are looked at after it. */
static void lower_able(struct eviction_candidate *candidates, size_t count, size_t chosen) {
    candidates[chosen].idle = false;
    for (size_t i = 0; i < count; i++)
        if (candidates[i].pool == candidates[chosen].pool) candidates[i].pool_able--;
}

/* Chooses victims until their bytes reach `needed`; returns the bytes. */
static uint64_t choose(struct eviction_candidate *candidates, size_t count, uint32_t except,
                       uint64_t needed, size_t *chosen, size_t *chosen_count) {
    uint64_t bytes = 0;
    *chosen_count = 0;
    while (bytes < needed) {
        size_t victim = governor_victim(candidates, count, except);
        if (victim == SIZE_MAX) break;
        bytes += candidates[victim].bytes;
        chosen[(*chosen_count)++] = victim;
        lower_able(candidates, count, victim);
    }
    return bytes;
}

/* Evicts idle workers worth so many bytes. Charged: all that it takes or nobody. Returns whether it is
 * enough. */
static bool evict(const struct pools *pools, uint32_t except, uint64_t needed, enum worth worth,
                  uint64_t now_ns) {
    size_t count = count_slots(pools), chosen_count;
    if (count == 0) return false;
    struct eviction_candidate *candidates = calloc(count, sizeof *candidates);
    size_t *chosen = calloc(count, sizeof *chosen);
    bool enough = false;
    if (candidates != NULL && chosen != NULL) {
        list_candidates(pools, worth, candidates);
        enough = choose(candidates, count, except, needed, chosen, &chosen_count) >= needed;
        if (!enough && worth == WORTH_CHARGED) chosen_count = 0;
        for (size_t i = 0; i < chosen_count; i++) {
            struct pool *pool = pools->items[candidates[chosen[i]].pool];
            life_stop(pool, &pool->slots[candidates[chosen[i]].slot], REASON_MEMORY, now_ns);
        }
    }
    free(candidates);
    free(chosen);
    return enough;
}

enum room room_for(const struct pools *pools, struct pool *pool, struct slot *slot,
                   uint64_t now_ns) {
    uint64_t bytes = pool->options->memory_bytes;
    /* Only its min: not what would have to go again as soon as the pressure is critical. */
    uint64_t spare = pool->queue.waiting == 0 ? pool->governor->limit_bytes / 10 : 0;
    if (spare > 0 && governor_missing(pool->governor, bytes + spare) > 0) return ROOM_NONE;
    if (governor_reserve(pool->governor, &slot->guard, bytes) == OK) return ROOM_KEPT;
    if (pool->queue.waiting == 0) return ROOM_NONE;
    uint64_t missing = governor_missing(pool->governor, bytes);
    uint64_t leaving = leaving_bytes(pools, WORTH_CHARGED);
    if (leaving >= missing) return ROOM_COMING;
    return evict(pools, pool->place, missing - leaving, WORTH_CHARGED, now_ns) ? ROOM_COMING
                                                                               : ROOM_NONE;
}

void room_relieve(const struct pools *pools, struct memory_governor *governor, uint64_t now_ns) {
    uint64_t excess = governor_excess(governor);
    uint64_t leaving = excess > 0 ? leaving_bytes(pools, WORTH_HELD) : 0;
    if (excess > leaving) evict(pools, NO_POOL, excess - leaving, WORTH_HELD, now_ns);
}
