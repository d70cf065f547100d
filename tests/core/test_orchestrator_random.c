/* orchestrator: hundreds of thousands of random events, and after each everything still adds up. The
 * promises are in tests/core/stage.h; here are only the dice. */
#include "tests/core/stage.h"
#include "tests/support/suite.h"

#define ROUNDS        40
#define ROUND_EVENTS  9000
#define DRAIN_EVENTS  20000 /* a drain that takes more has come to a stop */
#define LONGEST_DRAIN (40 * CLOCK_S)

static struct chance dice;

/* What has happened, so that a round in which nothing did cannot pass for a good one. */
static uint64_t events, submitted, refused, by_outcome[OUTCOME_COUNT], reasons_seen[REASON_COUNT];

/* --- the pools of a round ------------------------------------------------------------------------------ */

static uint64_t some_ns(uint64_t least_ns, uint64_t most_ns) {
    return least_ns + chance_next(&dice) % (most_ns - least_ns + 1);
}

static struct pool_options random_pool(const char *name) {
    struct pool_options options = plain_pool(name);
    options.slots_max = 1 + chance_below(&dice, STAGE_SLOTS);
    options.slots_min = chance_below(&dice, options.slots_max + 1);
    options.inflight = 1 + chance_below(&dice, STAGE_INFLIGHT);
    options.scale.policy = chance_percent(&dice, 30) ? SCALE_FIXED : SCALE_ADAPTIVE;
    options.queue.capacity = 1 + chance_below(&dice, 40);
    options.queue.reserve = chance_below(&dice, 5);
    options.timeouts.load_ns = some_ns(CLOCK_S, 20 * CLOCK_S);
    options.timeouts.idle_ns = some_ns(2 * CLOCK_S, 60 * CLOCK_S);
    options.timeouts.cancel_ns = some_ns(0, 5 * CLOCK_S);
    options.timeouts.kill_ns = some_ns(100 * CLOCK_MS, 5 * CLOCK_S);
    options.health.interval_ns = some_ns(CLOCK_S, 10 * CLOCK_S);
    options.health.timeout_ns = some_ns(100 * CLOCK_MS, 3 * CLOCK_S);
    options.retry_crashes = chance_below(&dice, 3);
    return options;
}

static void open_round(void) {
    static const char *const names[STAGE_POOLS] = {"one", "two", "three"};
    uint32_t pools = 2 + chance_below(&dice, STAGE_POOLS - 1);
    for (uint32_t i = 0; i < pools; i++) stage.options[i] = random_pool(names[i]);
    stage_open(pools, chance_next(&dice));
    settle();
}

/* --- what clients do ---------------------------------------------------------------------------------- */

static void random_arrival(void) {
    uint64_t deadline_ns = CLOCK_NEVER;
    if (chance_percent(&dice, 60)) deadline_ns = stage.now_ns + some_ns(0, 20 * CLOCK_S);
    uint32_t pool = chance_below(&dice, stage.pools_count);
    enum priority priority = (enum priority)chance_below(&dice, PRIORITY_COUNT);
    if (stage.ids + 1 < STAGE_REQUESTS && submit_to(pool, priority, deadline_ns) != 0)
        submitted++;
    else
        refused++;
}

/* Mostly of somebody who is still there, sometimes of nobody. */
static void random_cancel(void) {
    if (stage.ids == 0) return;
    uint32_t recent = stage.ids < 60 ? (uint32_t)stage.ids : 60;
    uint64_t id = stage.ids - chance_below(&dice, recent);
    uint32_t pool = chance_below(&dice, stage.pools_count);
    cancel_in(pool, id, chance_percent(&dice, 50) ? CANCEL_ASKED : CANCEL_CLIENT_GONE);
}

static void random_wish(void) {
    struct pool *pool = stage_pool(chance_below(&dice, stage.pools_count));
    pool->wish = chance_percent(&dice, 25) ? WISH_PAUSE : WISH_RUN;
    settle();
}

/* --- what workers do ----------------------------------------------------------------------------------- */

static void random_exit(struct actor *actor) {
    static const enum exit_kind kinds[] = {EXIT_STATUS, EXIT_CRASH_SIGNAL, EXIT_OTHER_SIGNAL};
    leave(actor, kinds[chance_below(&dice, 3)], 1 + (int)chance_below(&dice, 30));
}

static void step_start(struct actor *actor) {
    if (chance_percent(&dice, 4))
        leave(actor, EXIT_NEVER_STARTED, 0);
    else
        come(actor);
}

static void step_load(struct actor *actor) {
    uint32_t roll = chance_below(&dice, 100);
    if (roll < 6)
        fail_to_load(actor, "cannot load");
    else if (roll < 10)
        random_exit(actor);
    else if (roll < 12)
        break_protocol(actor);
    else if (!actor->greeted && roll < 90)
        greet(actor);
    else
        become_ready(actor);
}

static void step_work(struct actor *actor) {
    uint64_t id = actor->has[chance_below(&dice, actor->has_count)];
    uint32_t roll = chance_below(&dice, 1000);
    if (roll < 700)
        reply(actor, id);
    else if (roll < 800)
        say_error(actor, id, (enum transport_error)chance_below(&dice, 4), "an error");
    else if (roll < 900)
        random_exit(actor);
    else if (roll < 910)
        break_protocol(actor);
    else if (roll < 915)
        reply(actor, id + STAGE_REQUESTS); /* which nobody ever had */
    else
        pong(actor); /* the right answer, or one too many */
}

/* Condemned or told to end: it may still have something to say, and it may take its time. */
static void step_end(struct actor *actor) {
    uint32_t roll = chance_below(&dice, 100);
    if (roll < 15)
        reply(actor, actor->has_count > 0 ? actor->has[0] : 1);
    else if (roll < 20)
        say_error(actor, 1, WORKER_SAID_FAILED, "too late");
    else if (roll < 25)
        break_protocol(actor);
    else if (roll < 30)
        become_ready(actor);
    else if (actor->killed)
        die(actor);
    else if (actor->termed ? roll < 60 : actor->shut_down && roll < 80)
        leave(actor, EXIT_STATUS, 0);
}

static void step_actor(struct actor *actor) {
    bool ending = !worker_state_can_serve(state_of(actor)) && state_of(actor) != WORKER_SPAWNING &&
                  state_of(actor) != WORKER_LOADING;
    if (ending)
        step_end(actor);
    else if (!actor->came && !actor->ready)
        step_start(actor);
    else if (!actor->ready)
        step_load(actor);
    else if (actor->has_count > 0)
        step_work(actor);
    else if (chance_percent(&dice, 97))
        pong(actor);
    else
        random_exit(actor);
}

static void random_actor(void) {
    uint32_t pool = chance_below(&dice, stage.pools_count);
    struct actor *actor = &stage.actors[pool][chance_below(&dice, stage.options[pool].slots_max)];
    actor->start_outcome = chance_percent(&dice, 2) ? MEMORY_EXHAUSTED : OK;
    actor->send_outcome = chance_percent(&dice, 2) ? MEMORY_EXHAUSTED : OK;
    if (actor->running) step_actor(actor);
}

/* --- time ---------------------------------------------------------------------------------------------- */

static void random_time(void) {
    uint32_t roll = chance_below(&dice, 100);
    if (roll < 60)
        pass(some_ns(0, 50 * CLOCK_MS));
    else if (roll < 85)
        pass(stage.next_ns - stage.now_ns < CLOCK_S ? stage.next_ns - stage.now_ns : CLOCK_S);
    else if (roll < 98)
        leap(some_ns(0, 3 * CLOCK_S));
    else
        leap(some_ns(0, 120 * CLOCK_S));
}

static void random_event(void) {
    uint32_t roll = chance_below(&dice, 100);
    events++;
    if (roll < 28)
        random_arrival();
    else if (roll < 33)
        random_cancel();
    else if (roll < 34)
        random_wish();
    else if (roll < 84)
        random_actor();
    else
        random_time();
}

/* --- the end of a round -------------------------------------------------------------------------------- */

static void drain_round(void) {
    uint64_t until_ns = stage.now_ns + LONGEST_DRAIN;
    begin_drain(chance_percent(&dice, 30) ? 0 : LONGEST_DRAIN);
    for (int i = 0; !drained(); i++) {
        require(i < DRAIN_EVENTS);
        random_event();
        if (stage.now_ns > until_ns)
            for (uint32_t pool = 0; pool < stage.pools_count; pool++)
                require(stage_pool(pool)->queue.live == 0);
    }
}

static void close_round(void) {
    for (uint32_t i = 0; i < stage.pools_count; i++) {
        const struct pool *pool = stage_pool(i);
        ck_assert(pool_empty(pool));
        ck_assert_uint_eq(pool->queue.live, 0);
        ck_assert_uint_eq(pool->admission.permits, 0);
        for (uint32_t j = 0; j < REASON_COUNT; j++) reasons_seen[j] += pool->restarts_by_reason[j];
    }
    for (uint64_t id = 1; id <= stage.ids; id++) {
        require(ending(id)->submitted == 1 && ending(id)->done == 1);
        by_outcome[ending(id)->outcome]++;
    }
    stage_close();
}

static void assert_seen(enum outcome outcome) {
    ck_assert_msg(by_outcome[outcome] > 0, "nothing was answered %s", outcome_code(outcome));
}

START_TEST(whatever_happens_everything_adds_up_and_everybody_is_answered_once) {
    static const enum outcome ordinary[] = {
        OK,           INVALID_REQUEST, UNSUPPORTED_MEDIA_TYPE, CANCELLED,     WORKER_ERROR,
        SPAWN_FAILED, WORKER_CRASHED,  MEMORY_EXHAUSTED,       SHUTTING_DOWN, DEADLINE_EXCEEDED,
        QUARANTINED,  PAUSED,          SPAWN_TIMEOUT};
    static const enum reason ends[] = {REASON_SPAWN_FAILED, REASON_LOAD_FAILED, REASON_LOAD_TIMEOUT,
                                       REASON_EXITED,       REASON_CRASHED,     REASON_PROTOCOL,
                                       REASON_PING_MISSED,  REASON_DEADLINE,    REASON_CANCEL};
    dice = chance_open();
    for (int round = 0; round < ROUNDS; round++) {
        open_round();
        for (int i = 0; i < ROUND_EVENTS; i++) random_event();
        drain_round();
        close_round();
    }
    printf("%llu events, %llu requests, %llu refused\n", (unsigned long long)events,
           (unsigned long long)submitted, (unsigned long long)refused);
    ck_assert_uint_ge(events, 300000);
    ck_assert_uint_gt(submitted, events / 20);
    for (size_t i = 0; i < sizeof ordinary / sizeof ordinary[0]; i++) assert_seen(ordinary[i]);
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
        ck_assert_msg(reasons_seen[ends[i]] > 0, "no restart after %s", reason_name(ends[i]));
}
END_TEST

SUITE("core/orchestrator at random", 240,
      whatever_happens_everything_adds_up_and_everybody_is_answered_once)
