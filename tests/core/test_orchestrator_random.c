/* orchestrator: two million random events against pools with random options, and after each everything still
 * adds up. The promises are in tests/core/stage.h; here are only the dice. */
#include "tests/core/stage.h"
#include "tests/support/suite.h"

#define ROUNDS        200
#define ROUND_EVENTS  10000
#define DRAIN_EVENTS  20000 /* a drain that takes more has come to a stop */
#define LONGEST_DRAIN (40 * CLOCK_S)
#define WORKER_BYTES  (UINT64_C(1) << 20)
#define TENANTS       20
#define BATCH_KEYS    3
#define CONTENTS      4

static struct chance dice;
/* Of this round. The ills are per mille. */
static uint32_t tenants, arrivals_percent, load_ills, work_ills, abandon_ills;

/* What has happened, so that a round in which nothing did cannot pass for a good one. */
static uint64_t events, submitted, refused, by_outcome[OUTCOME_COUNT], refused_as[OUTCOME_COUNT],
    reasons_seen[REASON_COUNT];
static struct {
    uint64_t staged_back, kept, batches, batched, joined, opened, evictions, recycled, shed, checks,
        staged;
} seen;

/* --- the pools of a round ------------------------------------------------------------------------------ */

static uint64_t some_ns(uint64_t least_ns, uint64_t most_ns) {
    return least_ns + chance_next(&dice) % (most_ns - least_ns + 1);
}

static uint32_t some(uint32_t least, uint32_t most) {
    return least + chance_below(&dice, most - least + 1);
}

static void random_queue(struct pool_options *options) {
    static const struct tenant_weight weights[] = {{"a", 3}, {"b", 2}, {"c", 100}};
    options->queue.weights = weights;
    options->queue.weights_count = some(0, 3);
    options->queue.capacity = some(1, 40);
    options->queue.reserve = some(0, 4);
    options->queue.aging_ns = chance_percent(&dice, 50) ? 0 : some_ns(CLOCK_MS, 5 * CLOCK_S);
    options->queue.dedup_ns = chance_percent(&dice, 50) ? 0 : some_ns(CLOCK_MS, 5 * CLOCK_S);
    options->queue.fair = chance_percent(&dice, 50);
    options->queue.overload = (enum overload)chance_below(&dice, 3);
    options->queue.batch_max = chance_percent(&dice, 60) ? 1 : some(2, 8);
    options->queue.batch_delay_ns = chance_percent(&dice, 40) ? 0 : some_ns(0, 300 * CLOCK_MS);
}

static void random_care(struct pool_options *options) {
    options->health.interval_ns = some_ns(CLOCK_S, 10 * CLOCK_S);
    options->health.timeout_ns = some_ns(100 * CLOCK_MS, 3 * CLOCK_S);
    options->health.deep_ns = chance_percent(&dice, 50) ? 0 : some_ns(CLOCK_S, 10 * CLOCK_S);
    options->recycle.requests = chance_percent(&dice, 70) ? 0 : some(1, 50);
    options->recycle.memory_bytes = chance_percent(&dice, 70) ? 0 : 2 * WORKER_BYTES;
    if (chance_percent(&dice, 50))
        options->breaker = (struct breaker_options){.failures = some(2, 6),
                                                    .open_ns = some_ns(CLOCK_MS, 3 * CLOCK_S),
                                                    .probes = some(1, 3),
                                                    .successes = some(1, 4)};
}

static struct pool_options random_pool(const char *name) {
    struct pool_options options = plain_pool(name);
    options.memory_bytes = WORKER_BYTES;
    options.slots_max = some(1, STAGE_SLOTS);
    options.slots_min = some(0, options.slots_max);
    options.inflight = chance_percent(&dice, 50) ? 1 : some(1, STAGE_INFLIGHT);
    options.pick = (enum pick_policy)chance_below(&dice, 3);
    options.staged = chance_percent(&dice, 30) ? 0 : some(0, 16);
    options.scale.policy = (enum scale_policy)chance_below(&dice, 3);
    options.timeouts.load_ns = some_ns(CLOCK_S, 20 * CLOCK_S);
    options.timeouts.idle_ns = some_ns(2 * CLOCK_S, 60 * CLOCK_S);
    options.timeouts.cancel_ns = some_ns(0, 5 * CLOCK_S);
    options.timeouts.kill_ns = some_ns(100 * CLOCK_MS, 5 * CLOCK_S);
    options.retry_crashes = some(0, 2);
    random_queue(&options);
    random_care(&options);
    return options;
}

static void random_cast(void) {
    for (uint32_t i = 0; i < stage.pools_count; i++) {
        for (uint32_t j = 0; j < stage.options[i].slots_max; j++) {
            struct actor *actor = &stage.actors[i][j];
            actor->slow = chance_percent(&dice, 40);
            actor->checks = chance_percent(&dice, 60);
            actor->max_batch = some(1, stage.options[i].queue.batch_max);
        }
    }
}

static void open_round(void) {
    static const char *const names[STAGE_POOLS] = {"one", "two", "three"};
    uint32_t pools = some(2, STAGE_POOLS);
    for (uint32_t i = 0; i < pools; i++) stage.options[i] = random_pool(names[i]);
    tenants = chance_percent(&dice, 50) ? some(1, 3) : some(1, TENANTS);
    arrivals_percent = some(15, 50);
    load_ills = chance_percent(&dice, 50) ? some(0, 5) : some(0, 100);
    work_ills = chance_percent(&dice, 50) ? some(0, 20) : some(0, 250);
    abandon_ills = chance_percent(&dice, 90) ? 0 : 100;
    stage.memory_limit_bytes =
        chance_percent(&dice, 50) ? 0 : some_ns(WORKER_BYTES, 9 * WORKER_BYTES);
    stage_open(pools, chance_next(&dice));
    random_cast();
    settle();
}

/* --- what clients do ---------------------------------------------------------------------------------- */

static void random_arrival(void) {
    static const char *const names[TENANTS] = {"",  "a", "b", "c", "d", "e", "f", "g", "h", "i",
                                               "j", "k", "l", "m", "n", "o", "p", "q", "r", "s"};
    static const char *const contents[CONTENTS] = {"w", "x", "y", "z"};
    struct offer offer = {.pool = chance_below(&dice, stage.pools_count),
                          .priority = (enum priority)chance_below(&dice, PRIORITY_COUNT),
                          .tenant = names[chance_below(&dice, tenants)],
                          .batch_key = names[chance_below(&dice, BATCH_KEYS)]};
    if (chance_percent(&dice, 60)) offer.deadline_ns = stage.now_ns + some_ns(1, 20 * CLOCK_S);
    if (chance_percent(&dice, 50)) offer.content = contents[chance_below(&dice, CONTENTS)];
    events++;
    if (stage.ids + 1 < STAGE_REQUESTS && submit_offer(&offer) != 0) {
        submitted++;
    } else {
        refused++;
        refused_as[stage.refused]++;
    }
}

/* Mostly of somebody who is still there, sometimes of nobody. */
static void random_cancel(void) {
    if (stage.ids == 0) return;
    uint32_t recent = stage.ids < 60 ? (uint32_t)stage.ids : 60;
    uint64_t id = stage.ids - chance_below(&dice, recent);
    uint32_t pool = chance_below(&dice, stage.pools_count);
    events++;
    cancel_in(pool, id, chance_percent(&dice, 50) ? CANCEL_ASKED : CANCEL_CLIENT_GONE);
}

/* --- what administrators and the machine do ------------------------------------------------------------- */

static void random_wish(void) {
    static const enum wish others[] = {WISH_PAUSE, WISH_DRAIN, WISH_UNLOAD};
    enum wish wish = chance_percent(&dice, 80) ? WISH_RUN : others[chance_below(&dice, 3)];
    wish_for(chance_below(&dice, stage.pools_count), wish);
}

static void random_scale(void) {
    handle(&(struct event){.kind = EVENT_SCALE,
                           .pool = chance_below(&dice, stage.pools_count),
                           .slots_min = some(0, STAGE_SLOTS),
                           .slots_max = some(0, 2 * STAGE_SLOTS)});
}

/* Mostly it is well. */
static void random_memory(void) {
    uint64_t total = 64 * WORKER_BYTES;
    weigh(total, chance_percent(&dice, 80) ? 0 : total - some(0, 8) * WORKER_BYTES,
          chance_percent(&dice, 90) ? -1.0 : 50.0);
}

static void random_outside(void) {
    uint32_t roll = chance_below(&dice, 100);
    events++;
    if (roll < 50)
        random_wish();
    else if (roll < 70)
        random_scale();
    else
        random_memory();
}

/* --- what workers do ----------------------------------------------------------------------------------- */

static void random_exit(struct actor *actor) {
    static const enum exit_kind kinds[] = {EXIT_STATUS, EXIT_CRASH_SIGNAL, EXIT_OTHER_SIGNAL};
    bool abandoned = chance_below(&dice, 1000) < abandon_ills;
    leave(actor, abandoned ? EXIT_ABANDONED : kinds[chance_below(&dice, 3)], (int)some(1, 30));
}

static bool is_ill(uint32_t ills) {
    return chance_below(&dice, 1000) < ills;
}

static void step_start(struct actor *actor) {
    if (is_ill(load_ills))
        leave(actor, EXIT_NEVER_STARTED, 0);
    else
        come(actor);
}

static void step_load(struct actor *actor) {
    uint32_t roll = chance_below(&dice, 100);
    if (is_ill(load_ills))
        fail_to_load(actor, "cannot load");
    else if (is_ill(load_ills))
        random_exit(actor);
    else if (is_ill(load_ills / 2))
        break_protocol(actor);
    else if (!actor->greeted && roll < 90)
        greet(actor);
    else
        become_ready(actor);
}

/* One that it has begun; a slow one may have to begin first. */
static uint64_t random_begun(struct actor *actor) {
    if (count_begun(actor) == 0) begin(actor);
    uint32_t i = chance_below(&dice, actor->has_count);
    while (!actor->has[i].begun) i = (i + 1) % actor->has_count;
    return actor->has[i].id;
}

static void step_work(struct actor *actor) {
    uint32_t roll = chance_below(&dice, 1000);
    if (actor->slow && roll < 350) { /* at times before its reply to the last is seen */
        begin(actor);
        return;
    }
    uint64_t id = random_begun(actor);
    if (is_ill(work_ills))
        say_error(actor, id, (enum transport_error)chance_below(&dice, 4), "an error");
    else if (is_ill(work_ills / 2))
        random_exit(actor);
    else if (is_ill(work_ills / 10))
        break_protocol(actor);
    else if (is_ill(work_ills / 20))
        reply(actor, id + STAGE_REQUESTS); /* which nobody ever had */
    else if (roll < 900)
        reply(actor, id);
    else
        pong(actor); /* the right answer, or one too many */
}

/* Condemned or told to end: it may still have something to say, and it may take its time. */
static void step_end(struct actor *actor) {
    uint32_t roll = chance_below(&dice, 100);
    if (roll < 10)
        reply(actor, actor->has_count > 0 ? actor->has[0].id : 1);
    else if (roll < 15)
        say_error(actor, 1, WORKER_SAID_FAILED, "too late");
    else if (roll < 20)
        break_protocol(actor);
    else if (roll < 25)
        become_ready(actor);
    else if (roll < 30)
        say_checked(actor, "too late");
    else if (actor->killed)
        die(actor);
    else if (actor->termed ? roll < 60 : actor->shut_down && roll < 80)
        leave(actor, EXIT_STATUS, 0);
}

static void step_check(struct actor *actor) {
    uint32_t roll = chance_below(&dice, 100);
    if (roll < 10)
        say_checked(actor, "it is unsound");
    else if (roll < 90)
        say_checked(actor, "");
    else if (roll < 92)
        random_exit(actor);
    else
        pong(actor);
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
    else if (actor->checking)
        step_check(actor);
    else if (actor->has_count > 0)
        step_work(actor);
    else if (chance_percent(&dice, 10))
        say_measured(actor, some_ns(0, 3 * WORKER_BYTES));
    else if (is_ill(work_ills))
        random_exit(actor);
    else
        pong(actor);
}

/* One that runs; NULL: none does. */
static struct actor *some_actor(void) {
    uint32_t pool = chance_below(&dice, stage.pools_count), slot = chance_below(&dice, STAGE_SLOTS);
    for (uint32_t i = 0; i < stage.pools_count * STAGE_SLOTS; i++) {
        struct actor *actor = &stage.actors[pool][slot];
        if (actor->running) return actor;
        slot = (slot + 1) % STAGE_SLOTS;
        if (slot == 0) pool = (pool + 1) % stage.pools_count;
    }
    return NULL;
}

static void random_actor(void) {
    struct actor *actor = some_actor();
    if (actor == NULL) return;
    actor->start_outcome = is_ill(load_ills / 4) ? MEMORY_EXHAUSTED : OK;
    actor->send_outcome = chance_percent(&dice, 2) ? MEMORY_EXHAUSTED : OK;
    actor->full = chance_percent(&dice, 5);
    actor->stuffed = chance_percent(&dice, 2);
    step_actor(actor);
    events++;
    seen.staged += stage_pool(actor->pool)->staged > 0;
    seen.kept += count_kept(actor) > 0;
}

/* --- time ---------------------------------------------------------------------------------------------- */

static void random_time(void) {
    uint32_t roll = chance_below(&dice, 100);
    events++;
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
    uint32_t roll = chance_below(&dice, 1000);
    if (roll < 950) {
        if (chance_percent(&dice, arrivals_percent))
            random_arrival();
        else
            random_actor();
    } else if (roll < 990) {
        random_cancel();
    } else {
        random_outside();
    }
}

/* One after the other, or several that the loop finds at once; and now and then time passes. */
static void random_step(void) {
    stage.held = chance_percent(&dice, 20);
    for (uint32_t i = stage.held ? some(2, 6) : 1; i > 0; i--) random_event();
    stage.held = false;
    settle();
    if (chance_percent(&dice, 20)) random_time();
}

/* --- the end of a round -------------------------------------------------------------------------------- */

static void drain_round(void) {
    uint64_t until_ns = stage.now_ns + LONGEST_DRAIN;
    begin_drain(chance_percent(&dice, 30) ? 0 : LONGEST_DRAIN);
    for (int i = 0; !drained(); i++) {
        require(i < DRAIN_EVENTS);
        random_step();
        if (stage.now_ns > until_ns)
            for (uint32_t pool = 0; pool < stage.pools_count; pool++)
                require(stage_pool(pool)->queue.live == 0);
    }
}

static void add_totals(uint32_t number, const struct pool *pool) {
    seen.staged_back += pool->totals.staged_back;
    seen.batches += pool->totals.batches;
    seen.batched += pool->totals.batched;
    seen.joined += pool->dedup.joined;
    seen.opened += pool->breaker.opened;
    seen.evictions += pool->totals.evictions;
    seen.recycled += pool->totals.recycled;
    seen.shed += pool->totals.shed;
    for (uint32_t i = 0; i < pool->options->slots_max; i++)
        seen.checks += stage.actors[number][i].deep_checks;
}

static void close_round(void) {
    for (uint32_t i = 0; i < stage.pools_count; i++) {
        const struct pool *pool = stage_pool(i);
        ck_assert(pool_empty(pool));
        ck_assert_uint_eq(pool->queue.live, 0);
        ck_assert_uint_eq(pool->admission.permits, 0);
        for (uint32_t j = 0; j < REASON_COUNT; j++)
            reasons_seen[j] += pool->totals.restarts_by_reason[j];
        add_totals(i, pool);
    }
    ck_assert_uint_eq(stage.orchestrator.governor.guards, 0);
    ck_assert_uint_eq(stage.orchestrator.governor.charged_bytes, 0);
    for (uint64_t id = 1; id <= stage.ids; id++) {
        require(ending(id)->submitted == 1 && ending(id)->done == 1);
        by_outcome[ending(id)->outcome]++;
    }
    stage_close();
}

static void assert_outcomes(void) {
    static const enum outcome ordinary[] = {OK,
                                            INVALID_REQUEST,
                                            UNSUPPORTED_MEDIA_TYPE,
                                            CANCELLED,
                                            WORKER_ERROR,
                                            SPAWN_FAILED,
                                            WORKER_CRASHED,
                                            MEMORY_EXHAUSTED,
                                            SHUTTING_DOWN,
                                            DEADLINE_EXCEEDED,
                                            QUARANTINED,
                                            PAUSED,
                                            SPAWN_TIMEOUT,
                                            CIRCUIT_OPEN,
                                            QUEUE_FULL,
                                            NO_WORKERS,
                                            DEADLINE_UNMEETABLE};
    static const enum outcome at_the_gate[] = {CIRCUIT_OPEN,       QUEUE_FULL,    MEMORY_EXHAUSTED,
                                               NO_WORKERS,         SHUTTING_DOWN, SPAWN_FAILED,
                                               DEADLINE_UNMEETABLE};
    static const enum reason ends[] = {REASON_SPAWN_FAILED, REASON_LOAD_FAILED, REASON_LOAD_TIMEOUT,
                                       REASON_EXITED,       REASON_CRASHED,     REASON_PROTOCOL,
                                       REASON_PING_MISSED,  REASON_DEADLINE,    REASON_CANCEL,
                                       REASON_CHECK_FAILED};
    for (size_t i = 0; i < sizeof ordinary / sizeof ordinary[0]; i++)
        ck_assert_msg(by_outcome[ordinary[i]] > 0, "nothing was answered %s",
                      outcome_code(ordinary[i]));
    for (size_t i = 0; i < sizeof at_the_gate / sizeof at_the_gate[0]; i++)
        ck_assert_msg(refused_as[at_the_gate[i]] > 0, "nothing was refused as %s",
                      outcome_code(at_the_gate[i]));
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
        ck_assert_msg(reasons_seen[ends[i]] > 0, "no restart after %s", reason_name(ends[i]));
}

#define PRINT_SEEN(what)                                                                           \
    do {                                                                                           \
        printf("%s %llu\n", #what, (unsigned long long)seen.what);                                 \
        ck_assert_uint_gt(seen.what, 0);                                                           \
    } while (0)

static void assert_seen(void) {
    PRINT_SEEN(staged);
    PRINT_SEEN(staged_back);
    PRINT_SEEN(kept);
    PRINT_SEEN(batches);
    PRINT_SEEN(joined);
    PRINT_SEEN(opened);
    PRINT_SEEN(evictions);
    PRINT_SEEN(recycled);
    PRINT_SEEN(shed);
    PRINT_SEEN(checks);
    ck_assert_uint_gt(seen.batched, seen.batches);
}

START_TEST(whatever_happens_everything_adds_up_and_everybody_is_answered_once) {
    dice = chance_open();
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t until = events + ROUND_EVENTS;
        open_round();
        while (events < until) random_step();
        drain_round();
        close_round();
    }
    printf("%llu events, %llu requests, %llu refused\n", (unsigned long long)events,
           (unsigned long long)submitted, (unsigned long long)refused);
    ck_assert_uint_ge(events, (uint64_t)ROUNDS * ROUND_EVENTS); /* 2,000,000 */
    ck_assert_uint_gt(submitted, events / 20);
    for (int i = 0; i < OUTCOME_COUNT; i++)
        if (by_outcome[i] + refused_as[i] > 0)
            printf("%s: %llu answered, %llu refused\n", outcome_code((enum outcome)i),
                   (unsigned long long)by_outcome[i], (unsigned long long)refused_as[i]);
    assert_seen();
    assert_outcomes();
}
END_TEST

SUITE("core/orchestrator at random", 240,
      whatever_happens_everything_adds_up_and_everybody_is_answered_once)
