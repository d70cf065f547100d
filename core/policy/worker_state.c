#include "core/policy/worker_state.h"

#include <assert.h>

#define TO(name) (uint16_t)(1u << WORKER_##name)

static const uint16_t legal[WORKER_STATE_COUNT] = {
    /* row: from, bits: to */
    [WORKER_SPAWNING] = TO(LOADING) | TO(EVICTING) | TO(FAILED),
    [WORKER_LOADING] = TO(READY) | TO(EVICTING) | TO(FAILED),
    [WORKER_READY] = TO(PROCESSING) | TO(IDLE) | TO(EVICTING) | TO(FAILED),
    [WORKER_PROCESSING] = TO(READY) | TO(EVICTING) | TO(FAILED),
    [WORKER_IDLE] = TO(READY) | TO(EVICTING) | TO(FAILED),
    [WORKER_EVICTING] = TO(DEAD),
    [WORKER_FAILED] = TO(DEAD),
    [WORKER_DEAD] = TO(SPAWNING),
};

static const char *const state_names[] = {
#define STATE_TEXT(name, text) [WORKER_##name] = (text),
    WORKER_STATES(STATE_TEXT)};

static const char *const reason_names[] = {
#define REASON_TEXT(name, text) [REASON_##name] = (text),
    REASONS(REASON_TEXT)};

void worker_state_init(struct worker_record *record, struct worker_census *census,
                       uint64_t now_ns) {
    *record = (struct worker_record){.state = WORKER_DEAD, .since_ns = now_ns, .census = census};
    census->by_state[WORKER_DEAD]++;
}

bool worker_state_legal(enum worker_state from, enum worker_state to) {
    return (unsigned)from < WORKER_STATE_COUNT && (unsigned)to < WORKER_STATE_COUNT &&
           (legal[from] & (1u << to)) != 0;
}

bool worker_state_move(struct worker_record *record, enum worker_state to, enum reason why,
                       uint64_t now_ns) {
    enum worker_state from = record->state;
    if (!worker_state_legal(from, to)) return false;
    struct worker_census *census = record->census;
    assert(census->by_state[from] > 0);
    census->by_state[from]--;
    census->by_state[to]++;
    census->moves[from][to]++;
    record->transitions[record->moved % WORKER_TRANSITIONS] =
        (struct transition){.from = from, .to = to, .why = why, .at_ns = now_ns};
    record->moved++;
    record->state = to;
    record->since_ns = now_ns;
    return true;
}

size_t worker_state_history(const struct worker_record *record,
                            struct transition out[WORKER_TRANSITIONS]) {
    size_t count = record->moved < WORKER_TRANSITIONS ? (size_t)record->moved : WORKER_TRANSITIONS;
    for (size_t i = 0; i < count; i++)
        out[i] = record->transitions[(record->moved - count + i) % WORKER_TRANSITIONS];
    return count;
}

bool worker_state_can_serve(enum worker_state state) {
    return state == WORKER_READY || state == WORKER_PROCESSING || state == WORKER_IDLE;
}

const char *worker_state_name(enum worker_state state) {
    return (unsigned)state < WORKER_STATE_COUNT ? state_names[state] : "?";
}

const char *reason_name(enum reason reason) {
    return (unsigned)reason < REASON_COUNT ? reason_names[reason] : "?";
}
