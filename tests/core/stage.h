/* stage - the real orchestrator on virtual time, with an actor for a worker in every slot: no loop, no
 *         thread, no process. An actor writes down what it was asked; the test says what it does.
 * thread: the test's own. One stage at a time.
 * owns:   submitted requests, freed inside their done: the core must not look at them afterwards.
 * fails:  a broken promise of transport.h, of request.h or of the pool's counters ends the test. */
#ifndef TESTS_CORE_STAGE_H
#define TESTS_CORE_STAGE_H

#include "tests/core/stage_checks.h"

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

/* A worker for every slot of the pool at this place, whose options the stage has. */
static inline void stage_cast(uint32_t place) {
    const struct pool_options *options = &stage.options[place];
    for (uint32_t i = 0; i < options->slots_max; i++) {
        struct actor *actor = &stage.actors[place][i];
        *actor = (struct actor){.pool = place, .slot = i, .max_batch = options->queue.batch_max};
        actor->transport.calls = &actor_calls;
        actor->transport.stages = options->staged;
        stage_pool(place)->transports[i] = &actor->transport;
    }
}

/* stage.options must be set before; pools_count of them are used. */
static inline void stage_open(uint32_t pools_count, uint64_t seed) {
    log_set_level(LOG_ALERT);
    stage.pools_count = pools_count;
    stage.now_ns = stage.next_ns = STAGE_BEGINS_NS;
    memset(stage.actors, 0, sizeof stage.actors);
    memset(stage.endings, 0, (stage.ids + 1) * sizeof stage.endings[0]); /* those used so far */
    stage.ids = 0;
    stage.held = stage.tuned = false;
    memset(stage.live, 0, sizeof stage.live);
    memset(stage.answered, 0, sizeof stage.answered);
    ck_assert_int_eq(orchestrator_init(&stage.orchestrator, stage.options, pools_count,
                                       stage.memory_limit_bytes, NULL, seed, stage.now_ns),
                     OK);
    for (uint32_t i = 0; i < pools_count; i++) stage_cast(i);
}

static inline void stage_close(void) {
    orchestrator_free(&stage.orchestrator);
}

/* --- time and events ------------------------------------------------------------------------------------ */

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
