/* scene - what the scenes on the stage have in common: who plays, and what is looked at.
 * thread: the test's own. owns: nothing beyond the stage. fails: a look that disappoints ends the test. */
#ifndef TESTS_CORE_SCENE_H
#define TESTS_CORE_SCENE_H

#include "tests/core/stage.h"

#define A (&stage.actors[0][0]) /* the worker of pool 0, slot 0 */
#define B (&stage.actors[0][1])
#define C (&stage.actors[0][2])

static struct pool_options *const options = &stage.options[0];

/* One pool; change `options` between this and the curtain. */
static inline void set(uint32_t slots_min, uint32_t slots_max, uint32_t inflight) {
    *options = plain_pool("pool");
    options->slots_min = slots_min;
    options->slots_max = slots_max;
    options->inflight = inflight;
    if (slots_min != slots_max) options->scale.policy = SCALE_ADAPTIVE;
}

static inline void curtain(void) {
    stage_open(1, 1);
    settle();
}

/* The pool's min slots have loaded. */
static inline void open_warm(void) {
    curtain();
    for (uint32_t i = 0; i < options->slots_min; i++) load(&stage.actors[0][i]);
}

static inline struct pool *pool(void) {
    return stage_pool(0);
}

/* What a client of that pool would be told now. */
static inline enum outcome look_at(uint32_t number) {
    const struct admission_ask ask = {.priority = PRIORITY_NORMAL,
                                      .tenant = "",
                                      .deadline_ns = CLOCK_NEVER,
                                      .now_ns = stage.now_ns};
    return admission_look(&stage_pool(number)->admission, &ask);
}

/* The same of the first pool, of this class. */
static inline enum outcome look_as(enum priority priority) {
    const struct admission_ask ask = {
        .priority = priority, .tenant = "", .deadline_ns = CLOCK_NEVER, .now_ns = stage.now_ns};
    return admission_look(&pool()->admission, &ask);
}

static inline void assert_state(const struct actor *actor, enum worker_state state) {
    ck_assert_str_eq(worker_state_name(state_of(actor)), worker_state_name(state));
}

/* Why the worker made its last move. */
static inline void assert_reason(const struct actor *actor, enum reason why) {
    struct transition history[WORKER_TRANSITIONS];
    size_t count = worker_state_history(&slot_of_actor(actor)->record, history);
    ck_assert_str_eq(reason_name(history[count - 1].why), reason_name(why));
}

static inline void assert_answered(uint64_t id, enum outcome outcome) {
    ck_assert_uint_eq(ending(id)->done, 1);
    ck_assert_str_eq(outcome_code(ending(id)->outcome), outcome_code(outcome));
}

static inline void assert_live(uint64_t id) {
    ck_assert_uint_eq(ending(id)->submitted, 1);
    ck_assert_uint_eq(ending(id)->done, 0);
}

/* It is out at that worker and has begun as far as the core knows. */
static inline void assert_runs(const struct actor *actor, uint64_t id) {
    const struct assignment *assignment = slot_find(slot_of_actor(actor), id);
    ck_assert_ptr_nonnull(assignment);
    ck_assert(!assignment->staged);
}

static inline void assert_staged(const struct actor *actor, uint64_t id) {
    const struct assignment *assignment = slot_find(slot_of_actor(actor), id);
    ck_assert_ptr_nonnull(assignment);
    ck_assert(assignment->staged);
}

static inline uint64_t submit_as(enum priority priority) {
    return submit_to(0, priority, CLOCK_NEVER);
}

/* Ends whatever is left; every request has its answer then. */
static inline void close_stage(void) {
    begin_drain(0);
    for (uint32_t i = 0; i < stage.pools_count; i++)
        for (uint32_t j = 0; j < stage.options[i].slots_max; j++)
            if (stage.actors[i][j].running) die(&stage.actors[i][j]);
    ck_assert(drained());
    for (uint64_t id = 1; id <= stage.ids; id++) ck_assert_uint_eq(ending(id)->done, 1);
    for (uint32_t i = 0; i < stage.pools_count; i++)
        ck_assert_uint_eq(stage_pool(i)->admission.permits, 0);
    stage_close();
}

#endif
