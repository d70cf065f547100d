/* orchestrator: two million random events against pools with random options, and after each everything still
 * adds up. The promises are in tests/core/stage.h; here are only the dice. */
#include "core/question.h"
#include "tests/core/random_reloads.h"
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
static uint32_t tenants, arrivals_percent, load_ills, work_ills, abandon_ills, reload_percent;

/* What has happened, so that a round in which nothing did cannot pass for a good one. */
static uint64_t events, submitted, refused, by_outcome[OUTCOME_COUNT], refused_as[OUTCOME_COUNT],
    reasons_seen[REASON_COUNT];
static struct {
    uint64_t staged_back, kept, batches, batched, joined, opened, evictions, recycled, shed, checks,
        staged, looks;
} seen;

/* --- the pools of a round ------------------------------------------------------------------------------ */

static uint64_t some_ns(uint64_t least_ns, uint64_t most_ns) {
    return least_ns + chance_next(&dice) % (most_ns - least_ns + 1);
}

static uint32_t some(uint32_t least, uint32_t most) {
    return least + chance_below(&dice, most - least + 1);
}

#include "tests/core/random_workers.h"

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

static void random_cast(uint32_t place) {
    for (uint32_t i = 0; i < stage.options[place].slots_max; i++) {
        struct actor *actor = &stage.actors[place][i];
        actor->slow = chance_percent(&dice, 40);
        actor->checks = chance_percent(&dice, 60);
        actor->max_batch = some(1, stage.options[place].queue.batch_max);
    }
}

/* Sometimes more than a pool can take up while it runs. */
static void random_change(struct pool_options *options) {
    const struct pool_options other = random_pool(options->name);
    uint32_t batch_max = options->queue.batch_max, capacity = options->queue.capacity;
    options->timeouts = other.timeouts;
    options->health = other.health;
    options->breaker = other.breaker;
    options->recycle = other.recycle;
    options->scale = other.scale;
    options->pick = other.pick;
    options->slots_min = some(0, options->slots_max);
    if (chance_percent(&dice, 50)) options->queue = other.queue;
    if (options->queue.capacity > capacity) options->queue.capacity = capacity;
    options->queue.batch_max = batch_max;
}

static void open_round(void) {
    uint32_t pools = some(2, STAGE_POOLS);
    for (uint32_t i = 0; i < pools; i++) stage.options[i] = random_pool(reload_names[i]);
    tenants = chance_percent(&dice, 50) ? some(1, 3) : some(1, TENANTS);
    arrivals_percent = some(15, 50);
    load_ills = chance_percent(&dice, 50) ? some(0, 5) : some(0, 100);
    work_ills = chance_percent(&dice, 50) ? some(0, 20) : some(0, 250);
    abandon_ills = chance_percent(&dice, 90) ? 0 : 100;
    stage.memory_limit_bytes =
        chance_percent(&dice, 50) ? 0 : some_ns(WORKER_BYTES, 9 * WORKER_BYTES);
    reload_percent = chance_percent(&dice, 50) ? 0 : some(1, 20);
    stage_open(pools, chance_next(&dice));
    for (uint32_t i = 0; i < pools; i++) random_cast(i);
    reloads_open(pools);
    settle();
}

static void add_totals(uint32_t number, const struct pool *pool) {
    for (uint32_t i = 0; i < REASON_COUNT; i++)
        reasons_seen[i] += pool->totals.restarts_by_reason[i];
    seen.staged_back += pool->totals.staged_back;
    seen.batches += pool->totals.batches;
    seen.batched += pool->totals.batched;
    seen.joined += pool->dedup.joined;
    seen.opened += pool->breaker.opened;
    seen.evictions += pool->totals.evictions;
    seen.recycled += pool->totals.recycled;
    seen.shed += pool->totals.shed;
    for (uint32_t i = 0; i < pool->slots_count; i++)
        seen.checks += stage.actors[number][i].deep_checks;
}

/* --- what clients do ---------------------------------------------------------------------------------- */

static void random_arrival(void) {
    static const char *const names[TENANTS] = {"",  "a", "b", "c", "d", "e", "f", "g", "h", "i",
                                               "j", "k", "l", "m", "n", "o", "p", "q", "r", "s"};
    static const char *const contents[CONTENTS] = {"w", "x", "y", "z"};
    struct offer offer = {.pool = some_place(&dice),
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
    uint32_t pool = some_place(&dice);
    events++;
    cancel_in(pool, id, chance_percent(&dice, 50) ? CANCEL_ASKED : CANCEL_CLIENT_GONE);
}

/* --- what administrators and the machine do ------------------------------------------------------------- */

static void random_wish(void) {
    static const enum wish others[] = {WISH_PAUSE, WISH_DRAIN, WISH_UNLOAD};
    enum wish wish = chance_percent(&dice, 80) ? WISH_RUN : others[chance_below(&dice, 3)];
    wish_for(some_place(&dice), wish);
}

static void random_scale(void) {
    handle(&(struct event){.kind = EVENT_SCALE,
                           .pool = some_place(&dice),
                           .slots_min = some(0, STAGE_SLOTS),
                           .slots_max = some(0, 2 * STAGE_SLOTS)});
}

/* Mostly it is well. */
static void random_memory(void) {
    uint64_t total = 64 * WORKER_BYTES;
    weigh(total, chance_percent(&dice, 80) ? 0 : total - some(0, 8) * WORKER_BYTES,
          chance_percent(&dice, 90) ? -1.0 : 50.0);
}

static void on_looked(struct question *question) {
    seen.looks += question->outcome == OK;
}

/* Whoever is live is found, whatever becomes of the pools. */
static void random_look(void) {
    struct look look = {.question.answered = on_looked};
    uint32_t recent = stage.ids < 60 ? (uint32_t)stage.ids : 60;
    if (stage.ids == 0) return;
    look.id = stage.ids - chance_below(&dice, recent);
    bool live = ending(look.id)->done == 0;
    handle(&(struct event){.kind = EVENT_QUESTION, .question = &look.question});
    require((look.question.outcome == OK) == live);
    require(!live || look.state != LOOK_DONE);
}

static void random_outside(void) {
    uint32_t roll = chance_below(&dice, 100);
    events++;
    random_look();
    hold_or_let_go(&dice);
    if (roll < 50)
        random_wish();
    else if (roll < 70)
        random_scale();
    else
        random_memory();
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
    if (!stage.orchestrator.draining && chance_below(&dice, 1000) < reload_percent)
        random_reload(&dice, random_pool, random_change, random_cast);
    settle();
    let_go_of_all(add_totals);
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
                require(stage_pool(pool) == NULL || stage_pool(pool)->queue.live == 0);
    }
}

static void close_round(void) {
    for (uint32_t i = 0; i < stage.pools_count; i++) {
        const struct pool *pool = stage_pool(i);
        if (pool == NULL) continue;
        ck_assert(pool_empty(pool));
        ck_assert_uint_eq(pool->queue.live, 0);
        ck_assert_uint_eq(pool->admission.permits, 0);
        add_totals(i, pool);
    }
    ck_assert_uint_eq(stage.orchestrator.governor.guards, 0);
    ck_assert_uint_eq(stage.orchestrator.governor.charged_bytes, 0);
    for (uint64_t id = 1; id <= stage.ids; id++) {
        require(ending(id)->submitted == 1 && ending(id)->done == 1);
        by_outcome[ending(id)->outcome]++;
    }
    stage_close();
    reloads_close();
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
    PRINT_SEEN(looks);
    printf("pools: %llu tuned, %llu replaced, %llu removed, %llu added, %llu gone\n",
           (unsigned long long)reloads.tuned, (unsigned long long)reloads.replaced,
           (unsigned long long)reloads.removed, (unsigned long long)reloads.added,
           (unsigned long long)reloads.left);
    ck_assert(reloads.tuned > 100 && reloads.replaced > 100 && reloads.removed > 100);
    ck_assert(reloads.added > 100 && reloads.left > 100);
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
