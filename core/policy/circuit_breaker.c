#include "core/policy/circuit_breaker.h"

#include "core/base/clock.h"

#include <assert.h>
#include <string.h>

#define PART_NS (BREAKER_WINDOW_NS / BREAKER_PARTS)

static const char *const state_names[] = {
#define STATE_TEXT(name, text) [BREAKER_##name] = (text),
    BREAKER_STATES(STATE_TEXT)};

void breaker_init(struct circuit_breaker *breaker, const struct breaker_options *options,
                  uint64_t now_ns) {
    assert(options->failures > 0 && options->probes > 0 && options->successes > 0);
    *breaker = (struct circuit_breaker){.options = *options, .since_ns = now_ns, .era = 1};
}

/* A new state starts with a clean slate: what was counted in the last one is its reason and no more. */
static void enter(struct circuit_breaker *breaker, enum breaker_state state, uint64_t now_ns) {
    breaker->state = state;
    breaker->since_ns = now_ns;
    breaker->era++;
    breaker->failures = breaker->probing = breaker->succeeded = 0;
    memset(breaker->window, 0, sizeof breaker->window);
    if (state != BREAKER_OPEN) return;
    breaker->open_until_ns = clock_add(now_ns, breaker->options.open_ns);
    breaker->opened++;
}

bool breaker_tick(struct circuit_breaker *breaker, uint64_t now_ns) {
    if (breaker->state != BREAKER_OPEN || now_ns < breaker->open_until_ns) return false;
    enter(breaker, BREAKER_HALF_OPEN, now_ns);
    return true;
}

uint32_t breaker_room(const struct circuit_breaker *breaker) {
    if (breaker->state == BREAKER_CLOSED) return UINT32_MAX;
    if (breaker->state == BREAKER_OPEN) return 0;
    /* A reload may have left fewer probes than are under way. */
    uint32_t probes = breaker->options.probes;
    return probes > breaker->probing ? probes - breaker->probing : 0;
}

uint64_t breaker_begin(struct circuit_breaker *breaker) {
    assert(breaker_room(breaker) > 0);
    if (breaker->state == BREAKER_HALF_OPEN) breaker->probing++;
    return breaker->era;
}

static void window_add(struct circuit_breaker *breaker, bool good, uint64_t now_ns) {
    uint64_t part = now_ns / PART_NS;
    size_t i = part % BREAKER_PARTS;
    if (breaker->window[i].part != part) {
        breaker->window[i].part = part;
        breaker->window[i].good = breaker->window[i].bad = 0;
    }
    if (good)
        breaker->window[i].good++;
    else
        breaker->window[i].bad++;
    if (!good) breaker->bad_part = part;
}

static bool window_fails(const struct circuit_breaker *breaker, uint64_t now_ns) {
    uint64_t part = now_ns / PART_NS, good = 0, bad = 0;
    if (part - breaker->bad_part >= BREAKER_PARTS) return false;
    for (size_t i = 0; i < BREAKER_PARTS; i++) {
        if (part - breaker->window[i].part >= BREAKER_PARTS) continue;
        good += breaker->window[i].good;
        bad += breaker->window[i].bad;
    }
    return good + bad >= BREAKER_LEAST && bad * 100 >= (good + bad) * BREAKER_RATE;
}

static bool closed_result(struct circuit_breaker *breaker, enum breaker_result result,
                          uint64_t now_ns) {
    if (result == BREAKER_NEUTRAL) return false;
    bool good = result == BREAKER_SUCCESS;
    breaker->failures = good ? 0 : breaker->failures + 1;
    window_add(breaker, good, now_ns);
    if (breaker->failures < breaker->options.failures && !window_fails(breaker, now_ns))
        return false;
    enter(breaker, BREAKER_OPEN, now_ns);
    return true;
}

static bool probe_result(struct circuit_breaker *breaker, enum breaker_result result,
                         uint64_t now_ns) {
    assert(breaker->probing > 0);
    breaker->probing--;
    if (result == BREAKER_NEUTRAL) return false;
    if (result == BREAKER_SUCCESS && ++breaker->succeeded < breaker->options.successes)
        return false;
    enter(breaker, result == BREAKER_SUCCESS ? BREAKER_CLOSED : BREAKER_OPEN, now_ns);
    return true;
}

bool breaker_result(struct circuit_breaker *breaker, uint64_t era, enum breaker_result result,
                    uint64_t now_ns) {
    if (era != breaker->era) return false;
    assert(breaker->state != BREAKER_OPEN); /* nothing begins in its era */
    return breaker->state == BREAKER_CLOSED ? closed_result(breaker, result, now_ns)
                                            : probe_result(breaker, result, now_ns);
}

uint64_t breaker_next_ns(const struct circuit_breaker *breaker) {
    return breaker->state == BREAKER_OPEN ? breaker->open_until_ns : CLOCK_NEVER;
}

const char *breaker_state_name(enum breaker_state state) {
    return (unsigned)state < BREAKER_STATE_COUNT ? state_names[state] : "?";
}
