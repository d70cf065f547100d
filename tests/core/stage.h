/* stage - the real orchestrator on virtual time, with an actor for a worker in every slot: no loop, no
 *         thread, no process. An actor writes down what it was asked; the test says what it does.
 * thread: the test's own. One stage at a time.
 * owns:   submitted requests, freed inside their done: the core must not look at them afterwards.
 * fails:  a broken promise of transport.h, of request.h or of the pool's counters ends the test. */
#ifndef TESTS_CORE_STAGE_H
#define TESTS_CORE_STAGE_H

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/orchestrator.h"
#include "tests/core/chance.h"

#include <signal.h>
#include <string.h>

#define STAGE_POOLS     3
#define STAGE_SLOTS     4
#define STAGE_INFLIGHT  4
#define STAGE_HANDED    64 /* requests that an actor may have at once, staged ones included */
#define STAGE_REQUESTS  32768
#define STAGE_PID       1000
#define STAGE_BEGINS_NS (1000 * CLOCK_S)

struct actor {
    struct transport transport; /* the first member: the core knows the actor as this */
    uint32_t pool, slot;
    bool running;       /* started, and its exit not yet reported */
    bool came, greeted; /* STARTED, LOADING were reported */
    bool ready;         /* READY was reported */
    struct {
        uint64_t id;
        bool begun;      /* it cannot be taken back any more */
        bool kept;       /* it was asked back, too late */
    } has[STAGE_HANDED]; /* in the order in which they were handed over */
    uint32_t has_count;
    uint32_t max_batch;
    bool checks, slow; /* slow: it begins nothing by itself */
    bool full;         /* it has no room for anything ahead */
    bool checking;     /* asked to check itself, and has not said how it went */
    uint32_t starts, sends, cancels, pings, shutdowns, terms, kills, measures; /* all its runs */
    uint32_t revokes, deep_checks, largest_batch;
    uint32_t replied; /* replies and errors that the core could use */
    uint64_t sent_id, cancelled_id, ping_id;
    bool shut_down, termed, killed; /* this run */
    enum outcome start_outcome, send_outcome;
};

/* What a request's done saw. */
struct ending {
    uint32_t submitted, done;
    enum outcome outcome;
    enum source source;
    uint32_t attempts, marks, slot;
    uint64_t queue_ns, cold_ns, run_ns, retry_after_ns, at_ns;
    char detail[160];
};

static struct stage {
    struct orchestrator orchestrator;
    struct pool_options options[STAGE_POOLS];
    struct actor actors[STAGE_POOLS][STAGE_SLOTS];
    uint32_t pools_count;
    uint64_t memory_limit_bytes; /* 0: none */
    uint64_t now_ns, next_ns;    /* next_ns: when the core wants to be called */
    uint64_t ids;                /* the last one given out */
    bool held; /* events are handled, and settled together when the test says so */
    struct ending endings[STAGE_REQUESTS];
    enum outcome refused; /* what the gate said to the last offer */
    uint32_t live[STAGE_POOLS];
    uint64_t answered[STAGE_POOLS];
} stage;

/* --- the actors' side of the transport --------------------------------------------------------------- */

static inline struct pool *stage_pool(uint32_t pool) {
    return &stage.orchestrator.pools[pool];
}

static inline struct slot *slot_of_actor(const struct actor *actor) {
    return &stage_pool(actor->pool)->slots[actor->slot];
}

static inline enum worker_state state_of(const struct actor *actor) {
    return slot_of_actor(actor)->record.state;
}

static inline bool actor_has(const struct actor *actor, uint64_t id) {
    for (uint32_t i = 0; i < actor->has_count; i++)
        if (actor->has[i].id == id) return true;
    return false;
}

/* As a worker does when it has nothing under way: it begins the oldest. */
static inline void begin_next(struct actor *actor) {
    for (uint32_t i = 0; i < actor->has_count; i++) {
        if (actor->has[i].begun) continue;
        actor->has[i].begun = true;
        return;
    }
}

static inline uint32_t count_begun(const struct actor *actor) {
    uint32_t begun = 0;
    for (uint32_t i = 0; i < actor->has_count; i++) begun += actor->has[i].begun;
    return begun;
}

static inline void actor_forget(struct actor *actor, uint64_t id) {
    for (uint32_t i = 0; i < actor->has_count; i++) {
        if (actor->has[i].id != id) continue;
        memmove(&actor->has[i], &actor->has[i + 1],
                (--actor->has_count - i) * sizeof actor->has[0]);
        return;
    }
}

static enum outcome on_start(struct transport *transport) {
    struct actor *actor = (struct actor *)transport;
    require(!actor->running);
    actor->starts++;
    if (actor->start_outcome != OK) return actor->start_outcome;
    actor->running = true;
    actor->came = actor->greeted = actor->ready = false;
    actor->shut_down = actor->termed = actor->killed = actor->checking = false;
    actor->has_count = 0;
    return OK;
}

static enum outcome on_send(struct transport *transport, struct request *const *requests,
                            size_t count, uint64_t now_ns) {
    struct actor *actor = (struct actor *)transport;
    const struct pool_options *options = &stage.options[actor->pool];
    uint32_t batch_max = options->queue.batch_max > 1 ? options->queue.batch_max : 1;
    require(actor->running && actor->ready && !actor->killed && now_ns == stage.now_ns);
    require(count >= 1 && (count == 1 || count <= actor->max_batch));
    require(actor->has_count + count <= options->inflight * batch_max + options->staged);
    require(!actor->checking && !actor->shut_down && !actor->termed);
    if (actor->send_outcome != OK) return actor->send_outcome;
    if (actor->full && slot_find(slot_of_actor(actor), requests[0]->id)->staged) return QUEUE_FULL;
    for (size_t i = 0; i < count; i++) {
        require(requests[i]->pool == actor->pool && !actor_has(actor, requests[i]->id));
        actor->sends++;
        actor->sent_id = requests[i]->id;
        bool begins = !actor->slow && (count > 1 || count_begun(actor) < options->inflight);
        actor->has[actor->has_count].kept = false;
        actor->has[actor->has_count].id = requests[i]->id;
        actor->has[actor->has_count++].begun = begins;
    }
    if (count > actor->largest_batch) actor->largest_batch = (uint32_t)count;
    return OK;
}

static bool on_revoke(struct transport *transport, uint64_t id) {
    struct actor *actor = (struct actor *)transport;
    for (uint32_t i = 0; i < actor->has_count; i++) {
        if (actor->has[i].id != id) continue;
        if (actor->has[i].begun) {
            actor->has[i].kept = true;
            return false;
        }
        actor_forget(actor, id);
        actor->revokes++;
        return true;
    }
    require(!actor->running); /* of one that lives only what it has is asked back */
    return false;
}

static void on_check(struct transport *transport) {
    struct actor *actor = (struct actor *)transport;
    require(actor->running && actor->ready && actor->checks && actor->has_count == 0);
    actor->deep_checks++;
    actor->checking = true;
}

static void on_cancel(struct transport *transport, uint64_t id) {
    struct actor *actor = (struct actor *)transport;
    require(actor->running && actor_has(actor, id));
    actor->cancels++;
    actor->cancelled_id = id;
}

static void on_ping(struct transport *transport, uint64_t id) {
    struct actor *actor = (struct actor *)transport;
    require(actor->running && actor->ready && id == actor->ping_id + 1);
    actor->pings++;
    actor->ping_id = id;
}

static void on_shutdown(struct transport *transport) {
    struct actor *actor = (struct actor *)transport;
    require(actor->running && actor->ready && actor->has_count == 0 && !actor->shut_down);
    actor->shutdowns++;
    actor->shut_down = true;
}

static void on_signal(struct transport *transport, int signal_number) {
    struct actor *actor = (struct actor *)transport;
    require(actor->running && (signal_number == SIGTERM || signal_number == SIGKILL));
    if (signal_number == SIGTERM) {
        actor->terms++;
        actor->termed = true;
    } else {
        actor->kills++;
        actor->killed = true;
    }
}

static void on_measure(struct transport *transport) {
    struct actor *actor = (struct actor *)transport;
    require(actor->running);
    actor->measures++;
}

static const struct transport_calls actor_calls = {.start = on_start,
                                                   .send = on_send,
                                                   .revoke = on_revoke,
                                                   .check = on_check,
                                                   .cancel = on_cancel,
                                                   .ping = on_ping,
                                                   .shutdown = on_shutdown,
                                                   .signal = on_signal,
                                                   .measure = on_measure};

/* --- opening and closing ---------------------------------------------------------------------------- */

/* One slot, one request at a time, everything else as the contract's defaults; fixed in size. */
static inline struct pool_options plain_pool(const char *name) {
    return (struct pool_options){
        .name = name,
        .capability = "test",
        .memory_bytes = 1 << 20,
        .slots_min = 1,
        .slots_max = 1,
        .inflight = 1,
        .queue = {.capacity = 100, .reserve = 10, .bytes = 1 << 20, .overload = OVERLOAD_NONE},
        .timeouts = {.load_ns = 30 * CLOCK_S,
                     .idle_ns = 300 * CLOCK_S,
                     .cancel_ns = 30 * CLOCK_S,
                     .kill_ns = 5 * CLOCK_S},
        .required = true,
        .health = {.interval_ns = 10 * CLOCK_S, .timeout_ns = CLOCK_S, .misses = 3},
        .breaker = {.failures = 1000000, .open_ns = CLOCK_S, .probes = 1, .successes = 1},
        .scale = {.policy = SCALE_FIXED, .interval_ns = CLOCK_S},
        .retry_crashes = 1};
}

/* stage.options must be set before; pools_count of them are used. */
static inline void stage_open(uint32_t pools_count, uint64_t seed) {
    log_set_level(LOG_ALERT);
    stage.pools_count = pools_count;
    stage.now_ns = stage.next_ns = STAGE_BEGINS_NS;
    memset(stage.actors, 0, sizeof stage.actors);
    memset(stage.endings, 0, (stage.ids + 1) * sizeof stage.endings[0]); /* those used so far */
    stage.ids = 0;
    stage.held = false;
    memset(stage.live, 0, sizeof stage.live);
    memset(stage.answered, 0, sizeof stage.answered);
    ck_assert_int_eq(orchestrator_init(&stage.orchestrator, stage.options, pools_count,
                                       stage.memory_limit_bytes, NULL, seed, stage.now_ns),
                     OK);
    for (uint32_t i = 0; i < pools_count; i++) {
        for (uint32_t j = 0; j < stage.options[i].slots_max; j++) {
            struct actor *actor = &stage.actors[i][j];
            actor->transport.calls = &actor_calls;
            actor->transport.stages = stage.options[i].staged;
            actor->max_batch = stage.options[i].queue.batch_max;
            actor->pool = i;
            actor->slot = j;
            stage_pool(i)->transports[j] = &actor->transport;
        }
    }
}

static inline void stage_close(void) {
    orchestrator_free(&stage.orchestrator);
}

/* --- what must always be true ------------------------------------------------------------------------ */

/* What was asked back too late runs besides: of it the core only knows that it has begun. */
static inline uint32_t count_kept(const struct actor *actor) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < actor->has_count; i++) kept += actor->has[i].kept;
    return kept;
}

static inline void check_assignments(const struct actor *actor) {
    struct slot *slot = slot_of_actor(actor);
    uint32_t inflight = 0, staged = 0, given_up = 0;
    for (uint32_t i = 0; i < slot->places; i++) {
        const struct assignment *assignment = &slot->assignments[i];
        if (assignment->id == 0) continue;
        inflight += !assignment->staged;
        staged += assignment->staged;
        given_up += assignment->given_up_ns > 0;
        require(actor_has(actor, assignment->id));
        const struct request *request = assignment->request;
        require(request != NULL || (assignment->given_up_ns > 0 && !assignment->staged));
        if (request == NULL) continue;
        require(request->state == REQUEST_RUNNING && request->slot == slot->index);
        require(slot_find_request(slot, request) == assignment);
        if (assignment->staged)
            require(request->effective == stage_pool(actor->pool)->staged_class);
        require(!request->solo || (slot->inflight == 1 && slot->staged == 0));
    }
    require(inflight == slot->inflight && staged == slot->staged && given_up == slot->given_up);
    require(staged == 0 || slot->units >= slot->capacity); /* ahead of what is full only */
    require(slot->units <= inflight && (slot->units > 0) == (inflight > 0));
    require(slot->units <= slot->capacity + count_kept(actor));
}

static inline void check_slot(const struct actor *actor) {
    const struct slot *slot = slot_of_actor(actor);
    enum worker_state state = slot->record.state;
    require(actor->running == (state != WORKER_DEAD));
    require((state == WORKER_PROCESSING) == (slot->inflight > 0));
    require(!worker_state_can_serve(state) ||
            (actor->ready && actor->has_count == slot->inflight + slot->staged));
    require(slot->requests == actor->replied);
    check_assignments(actor);
}

static inline uint32_t count_out(const struct pool *pool) {
    uint32_t out = 0;
    for (uint32_t i = 0; i < pool->options->slots_max; i++)
        for (uint32_t j = 0; j < pool->slots[i].places; j++)
            out += pool->slots[i].assignments[j].request != NULL;
    return out;
}

static inline uint32_t count_staged(const struct pool *pool) {
    uint32_t staged = 0;
    for (uint32_t i = 0; i < pool->options->slots_max; i++) staged += pool->slots[i].staged;
    return staged;
}

/* A slot with room never stands beside waiting work. */
static inline void check_dispatch(struct pool *pool) {
    const struct request *first = request_queue_first(&pool->queue, stage.now_ns);
    if (pool->wish == WISH_PAUSE) require(pool->staged == 0);
    if (pool->wish == WISH_PAUSE || breaker_room(&pool->breaker) == 0) return;
    for (uint32_t i = 0;
         first != NULL && pool->ripe_ns == CLOCK_NEVER && i < pool->options->slots_max; i++)
        require(slot_room(&pool->slots[i], first->solo || pool->solo_next) == 0);
    /* What is staged never waits beside a slot that is free. */
    for (uint32_t i = 0; pool->staged > 0 && i < pool->options->slots_max; i++)
        require(slot_room(&pool->slots[i], false) == 0);
    /* And never while something better waits. */
    require(pool->staged == 0 || first == NULL || first->effective >= pool->staged_class);
}

/* Every live request is where its state says, and a follower hangs on the one that leads it. */
static inline uint32_t check_live(const struct pool *pool) {
    uint32_t live = 0, following = 0, probing = 0;
    for (size_t i = 0; i < pool->queue.buckets; i++) {
        for (const struct request *at = pool->queue.by_id[i]; at != NULL; at = at->next_by_id) {
            live++;
            require(at->state != REQUEST_NEW && at->state != REQUEST_DONE);
            require(at->deadline_ns > stage.now_ns);
            probing += at->breaker_era == pool->breaker.era;
            require((at->breaker_era != 0) <= (at->state == REQUEST_RUNNING));
            following += at->state == REQUEST_FOLLOWING;
            require((at->leader != NULL) == (at->state == REQUEST_FOLLOWING));
            if (at->leader == NULL) continue;
            require(at->leader->state == REQUEST_QUEUED || at->leader->state == REQUEST_RUNNING);
            require(at->leader->digest[0] == at->digest[0] && list_empty(&at->followers));
            require(at->leader->priority <= at->priority);
        }
    }
    require(live == pool->queue.live);
    if (pool->breaker.state == BREAKER_HALF_OPEN)
        require(probing == pool->breaker.probing && probing <= pool->breaker.options.probes);
    return following;
}

/* Every guard is held by a worker that exists, and the governor's sums are theirs. */
static inline void check_memory(void) {
    const struct memory_governor *governor = &stage.orchestrator.governor;
    uint64_t charged = 0, held = 0, guards = 0;
    for (uint32_t i = 0; i < stage.pools_count; i++) {
        for (uint32_t j = 0; j < stage.options[i].slots_max; j++) {
            const struct slot *slot = &stage_pool(i)->slots[j];
            const struct memory_guard *guard = &slot->guard;
            uint64_t declared = guard->declared_bytes, measured = guard->measured_bytes;
            charged += declared > measured ? declared : measured;
            held += measured > 0 ? measured : declared;
            guards += declared > 0;
            require((declared > 0) == (slot->record.state != WORKER_DEAD));
        }
    }
    require(governor->charged_bytes == charged && governor->guards == guards);
    require(governor->held_bytes == held);
}

static inline void check_pool(uint32_t number) {
    struct pool *pool = stage_pool(number);
    uint32_t by_state[WORKER_STATE_COUNT] = {0}, by_priority = 0, by_effective = 0;
    uint64_t restarts = 0;
    for (uint32_t i = 0; i < pool->options->slots_max; i++) {
        check_slot(&stage.actors[number][i]);
        by_state[pool->slots[i].record.state]++;
        restarts += pool->slots[i].restarts;
    }
    require(memcmp(by_state, pool->census.by_state, sizeof by_state) == 0);
    for (int i = 0; i < PRIORITY_COUNT; i++) by_priority += pool->queue.by_priority[i];
    for (int i = 0; i < PRIORITY_COUNT; i++) by_effective += pool->queue.by_effective[i];
    require(pool->queue.waiting == by_priority && pool->queue.waiting == by_effective);
    require(pool->queue.live == stage.live[number]);
    require(pool->queue.live == pool->queue.waiting + count_out(pool) + check_live(pool));
    require(pool->staged == count_staged(pool) && pool->totals.alarms == 0);
    require(pool->admission.permits == pool->queue.live);
    require(pool->admission.places == pool_able(pool) * pool->options->inflight);
    require(pool->totals.restarts == restarts && pool->totals.answered == stage.answered[number]);
    check_dispatch(pool);
}

/* Settles until the core has nothing more to do now, as the loop does; it must come to an end. */
static inline void settle(void) {
    int rounds = 0;
    do {
        stage.next_ns = orchestrator_settle(&stage.orchestrator, stage.now_ns);
        for (uint32_t i = 0; i < stage.pools_count; i++) check_pool(i);
        check_memory();
        require(++rounds < 10);
    } while (stage.next_ns <= stage.now_ns);
}

/* --- what a test does ---------------------------------------------------------------------------------- */

/* Time passes the way the loop sees it: it wakes at every moment that was asked for, and each second. */
static inline void pass(uint64_t duration_ns) {
    uint64_t until_ns = stage.now_ns + duration_ns;
    while (stage.now_ns < until_ns) {
        uint64_t wake_ns = stage.now_ns + CLOCK_S;
        if (wake_ns > stage.next_ns) wake_ns = stage.next_ns;
        stage.now_ns = wake_ns < until_ns ? wake_ns : until_ns;
        settle();
    }
}

/* The loop was held up: one settle, late. */
static inline void leap(uint64_t duration_ns) {
    stage.now_ns += duration_ns;
    settle();
}

static inline void handle(const struct event *event) {
    orchestrator_handle(&stage.orchestrator, event, stage.now_ns);
    if (!stage.held) settle();
}

static void on_done(struct request *request) {
    struct ending *ending = &stage.endings[request->id];
    require(ending->submitted == 1 && ending->done == 0 && request->state == REQUEST_DONE);
    *ending = (struct ending){.submitted = 1,
                              .done = 1,
                              .outcome = request->outcome,
                              .source = request->source,
                              .attempts = request->attempts,
                              .marks = request->marks,
                              .slot = request->slot,
                              .queue_ns = request->queue_ns,
                              .cold_ns = request->cold_ns,
                              .run_ns = request->run_ns,
                              .retry_after_ns = request->retry_after_ns,
                              .at_ns = stage.now_ns};
    snprintf(ending->detail, sizeof ending->detail, "%s",
             request->detail != NULL ? request->detail : "");
    require((request->outcome == OK) == (request->reply.body != NULL));
    stage.live[request->pool]--;
    stage.answered[request->pool]++;
    request_free(request);
}

/* A request that is to be submitted. content: what it asks; equal contents are identical requests,
 * NULL is like no other. deadline_ns 0: none. */
struct offer {
    uint32_t pool;
    enum priority priority;
    uint64_t deadline_ns;
    const char *tenant, *batch_key, *content;
};

static inline struct request *make_request(const struct offer *offer) {
    struct request *request;
    const struct request_texts texts = {.request_id = "test",
                                        .tenant = offer->tenant,
                                        .batch_key = offer->batch_key,
                                        .operation = offer->content};
    if (request_create(&request, &texts) != OK) return NULL;
    request->id = ++stage.ids;
    require(request->id < STAGE_REQUESTS);
    request->pool = offer->pool;
    request->priority = offer->priority;
    request->arrived_ns = stage.now_ns;
    if (offer->deadline_ns > 0) request->deadline_ns = offer->deadline_ns;
    request->done = on_done;
    if (offer->content != NULL) dedup_digest(request);
    return request;
}

/* What the gate does: a permit, an id, the event. 0 when it was refused. */
static inline uint64_t submit_offer(const struct offer *offer) {
    const struct admission_ask ask = {.priority = offer->priority,
                                      .tenant = offer->tenant != NULL ? offer->tenant : "",
                                      .deadline_ns =
                                          offer->deadline_ns > 0 ? offer->deadline_ns : CLOCK_NEVER,
                                      .now_ns = stage.now_ns};
    stage.refused = admission_take(&stage_pool(offer->pool)->admission, &ask);
    if (stage.refused != OK) return 0;
    struct request *request = make_request(offer);
    require(request != NULL);
    uint64_t id = request->id;
    stage.endings[id].submitted = 1;
    stage.live[offer->pool]++;
    handle(&(struct event){.kind = EVENT_SUBMIT, .pool = offer->pool, .request = request});
    return id;
}

static inline uint64_t submit_to(uint32_t pool, enum priority priority, uint64_t deadline_ns) {
    return submit_offer(
        &(struct offer){.pool = pool, .priority = priority, .deadline_ns = deadline_ns});
}

static inline uint64_t submit(void) {
    uint64_t id = submit_to(0, PRIORITY_NORMAL, CLOCK_NEVER);
    require(id != 0);
    return id;
}

static inline uint64_t submit_until(uint64_t duration_ns) {
    uint64_t id = submit_to(0, PRIORITY_NORMAL, stage.now_ns + duration_ns);
    require(id != 0);
    return id;
}

static inline void cancel_in(uint32_t pool, uint64_t id, enum cancel_cause cause) {
    handle(&(struct event){.kind = EVENT_CANCEL, .pool = pool, .id = id, .cause = cause});
}

static inline void cancel(uint64_t id) {
    cancel_in(0, id, CANCEL_CLIENT_GONE);
}

static inline void begin_drain(uint64_t duration_ns) {
    handle(&(struct event){.kind = EVENT_DRAIN, .until_ns = clock_add(stage.now_ns, duration_ns)});
}

static inline bool drained(void) {
    return orchestrator_drained(&stage.orchestrator);
}

static inline const struct ending *ending(uint64_t id) {
    return &stage.endings[id];
}

/* --- what an actor does -------------------------------------------------------------------------------- */

static inline void act(struct actor *actor, struct transport_event event) {
    require(actor->running);
    if (event.text == NULL) event.text = "";
    if (event.kind == TRANSPORT_EXITED) {
        actor->running = false; /* a new start may come from within */
    }
    handle(&(struct event){
        .kind = EVENT_WORKER, .pool = actor->pool, .slot = actor->slot, .worker = &event});
}

static inline void come(struct actor *actor) {
    actor->came = true;
    act(actor, (struct transport_event){.kind = TRANSPORT_STARTED,
                                        .pid = (pid_t)(STAGE_PID + actor->slot)});
}

static inline void greet(struct actor *actor) {
    actor->greeted = true;
    act(actor, (struct transport_event){.kind = TRANSPORT_LOADING});
}

static inline void become_ready(struct actor *actor) {
    actor->ready = true;
    act(actor, (struct transport_event){.kind = TRANSPORT_READY,
                                        .max_batch = actor->max_batch,
                                        .checks = actor->checks});
}

static inline void load(struct actor *actor) {
    come(actor);
    greet(actor);
    become_ready(actor);
}

static inline void fail_to_load(struct actor *actor, const char *why) {
    act(actor, (struct transport_event){.kind = TRANSPORT_READY, .text = why});
}

/* The work is its own no longer; counted when the core can use it. */
static inline void give_up_work(struct actor *actor, uint64_t id) {
    if (actor_has(actor, id) && worker_state_can_serve(state_of(actor))) actor->replied++;
    actor_forget(actor, id);
    if (!actor->slow && count_begun(actor) < stage.options[actor->pool].inflight) begin_next(actor);
}

static inline void reply(struct actor *actor, uint64_t id) {
    struct reply made = {0};
    ck_assert_int_eq(body_create(&made.body, 0), OK);
    give_up_work(actor, id);
    act(actor, (struct transport_event){.kind = TRANSPORT_REPLY, .id = id, .reply = &made});
    reply_free(&made); /* empty when it was taken */
}

static inline void say_error(struct actor *actor, uint64_t id, enum transport_error error,
                             const char *text) {
    give_up_work(actor, id);
    act(actor,
        (struct transport_event){.kind = TRANSPORT_ERROR, .id = id, .error = error, .text = text});
}

static inline void pong(struct actor *actor) {
    act(actor, (struct transport_event){.kind = TRANSPORT_PONG, .id = actor->ping_id});
}

static inline void break_protocol(struct actor *actor) {
    act(actor, (struct transport_event){.kind = TRANSPORT_BROKEN, .text = "a broken rule"});
}

static inline void leave(struct actor *actor, enum exit_kind kind, int value) {
    act(actor,
        (struct transport_event){.kind = TRANSPORT_EXITED, .exit_kind = kind, .exit_value = value});
}

static inline void crash(struct actor *actor) {
    leave(actor, EXIT_CRASH_SIGNAL, SIGSEGV);
}

/* A slow one begins what it has, as many as it can run at once. */
static inline void begin(struct actor *actor) {
    require(actor->running && actor->has_count > 0);
    begin_next(actor);
}

/* why: "" when it is sound. */
static inline void say_checked(struct actor *actor, const char *why) {
    actor->checking = false;
    act(actor, (struct transport_event){.kind = TRANSPORT_CHECKED, .text = why});
}

static inline void say_measured(struct actor *actor, uint64_t bytes) {
    act(actor, (struct transport_event){.kind = TRANSPORT_MEASURED, .resident_bytes = bytes});
}

static inline void wish_for(uint32_t pool, enum wish wish) {
    handle(&(struct event){.kind = EVENT_WISH, .pool = pool, .wish = wish});
}

static inline void weigh(uint64_t total_bytes, uint64_t used_bytes, double stall_percent) {
    const struct memory_reading reading = {
        .total_bytes = total_bytes, .used_bytes = used_bytes, .stall_percent = stall_percent};
    handle(&(struct event){.kind = EVENT_MEMORY, .memory = &reading});
}

/* Killed by the gateway, and gone. */
static inline void die(struct actor *actor) {
    require(actor->killed);
    leave(actor, EXIT_OTHER_SIGNAL, SIGKILL);
}

#endif
