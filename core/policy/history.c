#include "core/policy/history.h"

#include "core/base/clock.h"
#include "core/base/request.h"

static size_t kept(const struct history *history) {
    return history->added < HISTORY_REQUESTS ? (size_t)history->added : HISTORY_REQUESTS;
}

void history_add(struct history *history, const struct history_entry *entry) {
    history->entries[history->added++ % HISTORY_REQUESTS] = *entry;
}

/* How much of the last span the kept entries still tell of. */
static uint64_t covered_ns(const struct history *history, uint64_t span_ns, uint64_t now_ns) {
    if (history->added <= HISTORY_REQUESTS) return span_ns; /* all there ever were */
    uint64_t age_ns = now_ns - history->entries[history->added % HISTORY_REQUESTS].ended_ns;
    return age_ns < span_ns ? age_ns : span_ns;
}

double history_service_rate(const struct history *history, uint64_t span_ns, uint64_t now_ns) {
    uint64_t left = 0, covered = covered_ns(history, span_ns, now_ns);
    for (size_t i = 0; i < kept(history); i++) {
        const struct history_entry *entry = &history->entries[i];
        /* What ended just as the time covered began is its edge and not in it. */
        if (entry->slot != REQUEST_NO_SLOT && now_ns - entry->ended_ns < covered) left++;
    }
    return left == 0 ? 0 : (double)left * (double)CLOCK_S / (double)covered;
}

uint64_t history_expected_wait(uint64_t mean_run_ns, uint32_t places, uint64_t place,
                               uint32_t sharers) {
    if (places == 0) places = 1;
    if (sharers == 0) sharers = 1;
    /* The tenant starts one each mean * sharers / places, and this one is its (place + 1)-th. */
    uint64_t short_ns;
    bool is_short = place < UINT32_MAX &&
                    !__builtin_mul_overflow((place + 1) * sharers, mean_run_ns, &short_ns);
    if (is_short) return short_ns / places;
    unsigned __int128 starts = ((unsigned __int128)place + 1) * sharers, wait_ns;
    if (__builtin_mul_overflow(starts, mean_run_ns, &wait_ns)) return UINT64_MAX;
    wait_ns /= places;
    return wait_ns < UINT64_MAX ? (uint64_t)wait_ns : UINT64_MAX;
}
