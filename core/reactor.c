#include "core/reactor.h"

#include "core/base/channel.h"
#include "core/base/clock.h"
#include "core/base/lag.h"
#include "core/crew.h"
#include "core/event_log.h"
#include "core/pool_order.h"
#include "core/watchdog.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#define PUBLISH_NS        (5 * CLOCK_MS) /* the snapshot is at most so old while anything happens; and */
#define PUBLISH_PART      20 /* older where making one takes more than this part of the time, */
#define PUBLISH_OLDEST_NS (100 * CLOCK_MS) /* but no more than that */
#define HEARTBEAT_MS      1000             /* and settles so often while nothing does */
#define WEIGH_NS          CLOCK_S          /* so often the machine's memory is looked at */
#define EVENTS_AT_ONCE    16               /* that happen at the same time: some ten microseconds */

enum reactor_message {
    MESSAGE_SUBMIT,
    MESSAGE_CANCEL,   /* number: pool and cause, id */
    MESSAGE_ORDER,    /* pointer: the order */
    MESSAGE_QUESTION, /* pointer: the question */
    MESSAGE_DRAIN,
    MESSAGE_RELOAD, /* pointer: the order */
    MESSAGE_CLOSE
};
#define ORDERS_MOST 3 /* a drain, a reload, the close: one of each is under way at a time */

struct drain_order {
    uint64_t until_ns;
    gate_drained_fn *drained;
    void *owner;
};

struct reactor {
    uv_loop_t loop;
    pthread_t thread;
    struct orchestrator orchestrator;
    struct event_stream *events;
    struct event_log *event_log;
    struct publisher *publisher;
    struct channel *channel;
    struct finished *finished;
    struct crew crew;
    struct gate_options options;
    uint64_t seed;
    _Atomic uint32_t asides;     /* questions and orders in the channel */
    struct pool_order *orders;   /* carried out, to be answered once that can be seen */
    struct reload_order *reload; /* to be done before the loop sleeps */
    enum outcome reload_outcome;
    struct spawn_job weighing; /* owner NULL: none is under way */
    uint64_t weigh_ns;
    struct watchdog_loop *watched;
    uv_prepare_t before_sleep;
    uv_check_t after_sleep;
    uv_timer_t timer;
    struct answers answers;
    uint64_t timer_due_ns; /* 0: not armed */
    uint64_t event_ns; /* the time for the next same_time events; 0 of them since the loop slept */
    uint32_t same_time;
    uint64_t published_ns, publish_took_ns;
    uint64_t settled_dirty; /* something happened since the last publish */
    struct lag round;
    struct histogram lag;
    uint64_t lag_max_ns;
    gate_drained_fn *drained;
    void *drained_owner;
    bool drained_called, closing;
    pthread_mutex_t drain_lock;
    struct drain_order order; /* under drain_lock: the loop takes it when told to look */
    bool order_sent;          /* and it has been told; the same */
};

/* --- what happens ------------------------------------------------------------------------------------ */

/* The time, read once for a few events in a row: what is one event old does not differ. */
static uint64_t time_of_event(struct reactor *reactor) {
    if (reactor->same_time == 0) {
        reactor->event_ns = clock_now_ns();
        reactor->same_time = EVENTS_AT_ONCE;
    }
    reactor->same_time--;
    return reactor->event_ns;
}

static void handle(struct reactor *reactor, const struct event *event) {
    reactor->settled_dirty++;
    orchestrator_handle(&reactor->orchestrator, event, time_of_event(reactor));
}

static void on_worker(void *owner, uint32_t pool, uint32_t slot,
                      const struct transport_event *event) {
    handle(owner,
           &(struct event){.kind = EVENT_WORKER, .pool = pool, .slot = slot, .worker = event});
}

static void take_drain_order(struct reactor *reactor) {
    pthread_mutex_lock(&reactor->drain_lock);
    struct drain_order order = reactor->order;
    reactor->order_sent = false;
    pthread_mutex_unlock(&reactor->drain_lock);
    reactor->drained = order.drained;
    reactor->drained_owner = order.owner;
    handle(reactor, &(struct event){.kind = EVENT_DRAIN, .until_ns = order.until_ns});
}

/* How many bytes the machine has left is looked at by the spawner's thread. */
static void on_weighed(struct spawn_job *job) {
    struct reactor *reactor = job->owner;
    job->owner = NULL;
    const struct memory_reading reading = {.total_bytes = job->machine.limit_bytes,
                                           .used_bytes = job->machine.used_bytes,
                                           .gateway_bytes = job->resident_bytes,
                                           .stall_percent = job->machine.stall_percent};
    handle(reactor, &(struct event){.kind = EVENT_MEMORY, .memory = &reading});
}

static void weigh(struct reactor *reactor, uint64_t now_ns) {
    if (now_ns < reactor->weigh_ns || reactor->weighing.owner != NULL) return;
    reactor->weigh_ns = now_ns + WEIGH_NS;
    reactor->weighing =
        (struct spawn_job){.kind = SPAWN_WEIGH, .done = on_weighed, .owner = reactor};
    spawner_submit(reactor->crew.spawner, &reactor->weighing);
}

static void begin_close(struct reactor *reactor);

/* What is no request's own: so many of them have room, whatever the requests take. */
static bool is_aside(uint32_t kind) {
    return kind == MESSAGE_ORDER || kind == MESSAGE_QUESTION;
}

static void take_order(struct reactor *reactor, struct pool_order *order) {
    const struct pool *pool = reactor->orchestrator.pools[order->pool];
    handle(reactor, &(struct event){.kind = order->act == POOL_WISH ? EVENT_WISH : EVENT_SCALE,
                                    .pool = order->pool,
                                    .wish = order->wish,
                                    .slots_min = order->slots_min,
                                    .slots_max = order->slots_max,
                                    .why = order->why});
    order->question.outcome = OK;
    order->question.retry_after_ns = 0;
    order->wish = pool->wish;
    order->slots_min = pool->slots_min;
    order->slots_max = pool->slots_max;
    order->next = reactor->orders;
    reactor->orders = order;
    reactor->published_ns = 0; /* who is told that it is done shall also see it */
}

static void answer_orders(struct reactor *reactor) {
    while (reactor->orders != NULL) {
        struct pool_order *order = reactor->orders;
        reactor->orders = order->next;
        order->question.answered(&order->question);
    }
}

static void on_messages(void *owner, const struct message *batch, size_t count) {
    struct reactor *reactor = owner;
    bool closes = false;
    uint32_t asides = 0;
    for (size_t i = 0; i < count; i++) {
        const struct message *message = &batch[i];
        struct request *request = message->pointer;
        switch ((enum reactor_message)message->kind) {
        case MESSAGE_SUBMIT:
            handle(reactor, &(struct event){
                                .kind = EVENT_SUBMIT, .pool = request->pool, .request = request});
            break;
        case MESSAGE_CANCEL:
            handle(reactor, &(struct event){.kind = EVENT_CANCEL,
                                            .pool = message->number >> 1,
                                            .id = message->id,
                                            .cause = (enum cancel_cause)(message->number & 1)});
            break;
        case MESSAGE_ORDER: take_order(reactor, message->pointer); break;
        case MESSAGE_QUESTION:
            handle(reactor, &(struct event){.kind = EVENT_QUESTION, .question = message->pointer});
            break;
        case MESSAGE_DRAIN: take_drain_order(reactor); break;
        case MESSAGE_RELOAD: reactor->reload = message->pointer; break;
        case MESSAGE_CLOSE: closes = true; break;
        }
        asides += is_aside(message->kind);
    }
    atomic_fetch_sub(&reactor->asides, asides);
    if (closes) begin_close(reactor);
}

/* --- pools come and go ------------------------------------------------------------------------------------ */

/* Room for every submission, and for every cancel of what they replaced since the loop last looked; and
 * beside them for all asides and orders that may be under way: none of these finds it full. */
static size_t channel_capacity(const struct orchestrator *orchestrator) {
    size_t permits = 16;
    for (size_t i = 0; i < orchestrator->places; i++) {
        if (orchestrator->pools[i] == NULL) continue;
        const struct pool_options *pool = orchestrator->pools[i]->options;
        permits += (size_t)pool->queue.capacity + pool->queue.reserve +
                   (size_t)orchestrator->pools[i]->slots_count * pool->inflight;
    }
    return permits * 4 + QUESTIONS_MOST + ORDERS_MOST;
}

static enum outcome make_ready(struct reactor *reactor, const struct reload *reload) {
    enum outcome outcome = OK;
    for (size_t i = 0; outcome == OK && i < reload->items_count; i++)
        if (reload->items[i].fresh != NULL)
            outcome = crew_hire(&reactor->crew, reload->items[i].fresh);
    if (outcome == OK)
        outcome = channel_grow(reactor->channel, channel_capacity(&reactor->orchestrator));
    if (outcome == OK) return OK;
    for (size_t i = 0; i < reload->items_count; i++)
        if (reload->items[i].fresh != NULL) crew_dismiss(&reactor->crew, reload->items[i].fresh);
    return outcome;
}

/* All of it or nothing. */
static enum outcome carry_out(struct reactor *reactor, struct reload *reload, uint64_t now_ns) {
    if (reactor->orchestrator.draining) return SHUTTING_DOWN;
    enum outcome outcome = reload_take_places(reload, &reactor->orchestrator);
    if (outcome != OK) return outcome;
    outcome = make_ready(reactor, reload);
    if (outcome == OK)
        reload_apply(reload, &reactor->orchestrator, now_ns);
    else
        reload_leave_places(reload, &reactor->orchestrator);
    return outcome;
}

static void reload(struct reactor *reactor, uint64_t now_ns) {
    reactor->reload_outcome = carry_out(reactor, reactor->reload->reload, now_ns);
    if (reactor->reload_outcome == OK) reactor->reload->applied(reactor->reload);
    reactor->published_ns = 0; /* who is told that it is done shall also see it */
    reactor->settled_dirty++;
}

static void conclude_reload(struct reactor *reactor) {
    struct reload_order *order = reactor->reload;
    reactor->reload = NULL;
    order->done(order, reactor->reload_outcome);
}

/* Pools that have left, once nothing refers to them. */
static void let_go(struct reactor *reactor) {
    struct pool *pool;
    size_t at = 0;
    while ((pool = orchestrator_gone(&reactor->orchestrator, &at)) != NULL) {
        crew_dismiss(&reactor->crew, pool);
        orchestrator_let_go(&reactor->orchestrator, pool);
        reactor->settled_dirty++;
    }
}

/* --- the body after the select ------------------------------------------------------------------------- */

static void on_timer(uv_timer_t *timer) {
    struct reactor *reactor = timer->data;
    reactor->timer_due_ns = 0;
    reactor->settled_dirty++; /* something is due: the state will not stay as it is */
}

static void arm(struct reactor *reactor, uint64_t next_ns, uint64_t now_ns) {
    uint64_t latest_ns = now_ns + HEARTBEAT_MS * CLOCK_MS;
    if (next_ns > latest_ns) next_ns = latest_ns;
    /* A timer that fires somewhat early only settles once more; setting it each time costs more. */
    if (reactor->timer_due_ns != 0 && reactor->timer_due_ns <= next_ns) return;
    uint64_t wait_ms = next_ns > now_ns ? (next_ns - now_ns + CLOCK_MS - 1) / CLOCK_MS : 0;
    reactor->timer_due_ns = next_ns;
    uv_update_time(&reactor->loop);
    uv_timer_start(&reactor->timer, on_timer, wait_ms, 0);
}

/* Of this thread: what it waited for a processor is not the work's cost. */
static uint64_t worked_ns(void) {
    struct timespec worked;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &worked);
    return (uint64_t)worked.tv_sec * CLOCK_S + (uint64_t)worked.tv_nsec;
}

static uint64_t publish(struct reactor *reactor, uint64_t now_ns) {
    uint64_t age_ns = now_ns - reactor->published_ns;
    if (reactor->settled_dirty == 0 && age_ns < HEARTBEAT_MS * CLOCK_MS / 2) return CLOCK_NEVER;
    uint64_t interval_ns = reactor->publish_took_ns * PUBLISH_PART;
    if (interval_ns < PUBLISH_NS) interval_ns = PUBLISH_NS;
    if (interval_ns > PUBLISH_OLDEST_NS) interval_ns = PUBLISH_OLDEST_NS;
    if (age_ns < interval_ns) return reactor->published_ns + interval_ns;
    reactor->settled_dirty = 0;
    reactor->published_ns = now_ns;
    uint64_t began_ns = worked_ns();
    publisher_publish(reactor->publisher, &reactor->orchestrator, &reactor->lag,
                      reactor->lag_max_ns, now_ns);
    reactor->publish_took_ns = worked_ns() - began_ns;
    return CLOCK_NEVER;
}

static void on_before_sleep(uv_prepare_t *prepare) {
    struct reactor *reactor = prepare->data;
    uint64_t now_ns = clock_now_ns();
    reactor->same_time = 0;
    if (!reactor->closing) weigh(reactor, now_ns);
    if (reactor->reload != NULL) reload(reactor, now_ns);
    uint64_t next_ns = orchestrator_settle(&reactor->orchestrator, now_ns);
    switchboard_wake(reactor->crew.switchboard); /* they work while the answers are handed back */
    answers_hand_back(&reactor->answers);
    let_go(reactor);
    uint64_t publish_ns = publish(reactor, now_ns);
    if (reactor->reload != NULL) conclude_reload(reactor);
    answer_orders(reactor);
    arm(reactor, publish_ns < next_ns ? publish_ns : next_ns, now_ns);
    if (orchestrator_drained(&reactor->orchestrator) && !reactor->drained_called) {
        reactor->drained_called = true;
        reactor->published_ns = 0;
        publish(reactor, now_ns);
        reactor->drained(reactor->drained_owner);
    }
    uint64_t end_ns = clock_now_ns();
    uint64_t lag_ns = lag_round(&reactor->round, &reactor->loop, end_ns);
    histogram_add(&reactor->lag, lag_ns);
    if (lag_ns > reactor->lag_max_ns) reactor->lag_max_ns = lag_ns;
    watchdog_leave(reactor->watched, end_ns);
}

static void on_after_sleep(uv_check_t *check) {
    struct reactor *reactor = check->data;
    watchdog_enter(reactor->watched, clock_now_ns());
}

/* --- life ------------------------------------------------------------------------------------------------- */

static void begin_close(struct reactor *reactor) {
    reactor->closing = true;
    answer_orders(reactor);
    for (size_t i = 0; i < reactor->orchestrator.pools_count; i++)
        if (reactor->orchestrator.pools[i] != NULL)
            crew_dismiss(&reactor->crew, reactor->orchestrator.pools[i]);
    switchboard_close(reactor->crew.switchboard);
    spawner_close(reactor->crew.spawner);
    uv_close((uv_handle_t *)&reactor->before_sleep, NULL);
    uv_close((uv_handle_t *)&reactor->after_sleep, NULL);
    uv_close((uv_handle_t *)&reactor->timer, NULL);
    channel_close(reactor->channel);
}

static void open_hooks(struct reactor *reactor) {
    uv_prepare_init(&reactor->loop, &reactor->before_sleep);
    uv_check_init(&reactor->loop, &reactor->after_sleep);
    uv_timer_init(&reactor->loop, &reactor->timer);
    reactor->before_sleep.data = reactor->after_sleep.data = reactor->timer.data = reactor;
    uv_prepare_start(&reactor->before_sleep, on_before_sleep);
    uv_check_start(&reactor->after_sleep, on_after_sleep);
}

static void *run(void *argument) {
    struct reactor *reactor = argument;
    pthread_setname_np(pthread_self(), "pool");
    lag_begin(&reactor->round, &reactor->loop, clock_now_ns());
    reactor->watched = watchdog_watch("pool");
    uv_run(&reactor->loop, UV_RUN_DEFAULT);
    answers_hand_back(&reactor->answers); /* what came while it closed */
    watchdog_unwatch(reactor->watched);
    int closed = uv_loop_close(&reactor->loop);
    assert(closed == 0);
    return NULL;
}

static void reactor_free(struct reactor *reactor) {
    if (reactor->publisher != NULL) publisher_free(reactor->publisher);
    orchestrator_free(&reactor->orchestrator);
    finished_free(reactor->finished);
    event_log_close(reactor->event_log);
    event_stream_close(reactor->events);
    crew_close(&reactor->crew);
    pthread_mutex_destroy(&reactor->drain_lock);
    free(reactor);
}

static enum outcome open_events(struct reactor *reactor) {
    enum outcome outcome = event_stream_open(&reactor->events);
    return outcome != OK ? outcome : event_log_open(&reactor->event_log, reactor->events);
}

/* What runs before the thread does; a failure here is fatal at start and leaves the loop to the end of
 * the program. */
static enum outcome prepare(struct reactor *reactor, const struct gate_options *options) {
    reactor->options = *options;
    reactor->seed = clock_now_ns();
    ssize_t filled = getrandom(&reactor->seed, sizeof reactor->seed, GRND_NONBLOCK);
    (void)filled; /* the time is seed enough for jitter */
    enum outcome outcome = open_events(reactor);
    if (outcome != OK) return outcome;
    outcome = orchestrator_init(&reactor->orchestrator, options->pools, options->pools_count,
                                options->memory_limit_bytes, reactor->events, reactor->seed,
                                clock_now_ns());
    if (outcome != OK) return outcome;
    outcome = finished_open(&reactor->finished);
    if (outcome != OK) return outcome;
    orchestrator_remember(&reactor->orchestrator, reactor->finished);
    orchestrator_keep_answers(&reactor->orchestrator, &reactor->answers);
    reactor->crew = (struct crew){
        .loop = &reactor->loop, .options = &reactor->options, .fn = on_worker, .owner = reactor};
    outcome = crew_open(&reactor->crew, reactor->orchestrator.places);
    if (outcome != OK || uv_loop_init(&reactor->loop) != 0) return MEMORY_EXHAUSTED;
    outcome = publisher_open(&reactor->publisher, &reactor->orchestrator);
    if (outcome != OK) return outcome;
    outcome = channel_open(&reactor->channel, &reactor->loop,
                           channel_capacity(&reactor->orchestrator), on_messages, reactor);
    if (outcome != OK) return outcome;
    /* Before the loop's own hooks, so that it wakes workers behind them. */
    outcome = switchboard_open(&reactor->crew.switchboard, &reactor->loop);
    if (outcome != OK) return outcome;
    outcome = spawner_open(&reactor->crew.spawner, &reactor->loop);
    for (size_t i = 0; outcome == OK && i < reactor->orchestrator.pools_count; i++)
        outcome = crew_hire(&reactor->crew, reactor->orchestrator.pools[i]);
    return outcome;
}

enum outcome reactor_open(struct reactor **out, const struct gate_options *options) {
    *out = NULL;
    struct reactor *reactor = calloc(1, sizeof *reactor);
    if (reactor == NULL) return MEMORY_EXHAUSTED;
    pthread_mutex_init(&reactor->drain_lock, NULL);
    enum outcome outcome = prepare(reactor, options);
    if (outcome != OK) return outcome;
    open_hooks(reactor);
    if (pthread_create(&reactor->thread, NULL, run, reactor) != 0) return MEMORY_EXHAUSTED;
    *out = reactor;
    return OK;
}

enum outcome reactor_submit(struct reactor *reactor, struct request *request) {
    return channel_try_send(reactor->channel,
                            (struct message){.kind = MESSAGE_SUBMIT, .pointer = request});
}

enum outcome reactor_cancel(struct reactor *reactor, uint32_t pool, uint64_t id,
                            enum cancel_cause cause) {
    return channel_try_send(
        reactor->channel,
        (struct message){.kind = MESSAGE_CANCEL, .number = pool << 1 | (cause & 1), .id = id});
}

/* QUEUE_FULL: too many are under way, by this count and not by the channel's. */
static enum outcome send_aside(struct reactor *reactor, struct message message) {
    if (atomic_fetch_add(&reactor->asides, 1) >= QUESTIONS_MOST) {
        atomic_fetch_sub(&reactor->asides, 1);
        return QUEUE_FULL;
    }
    enum outcome outcome = channel_try_send(reactor->channel, message);
    if (outcome != OK) atomic_fetch_sub(&reactor->asides, 1);
    return outcome;
}

enum outcome reactor_order(struct reactor *reactor, struct pool_order *order) {
    return send_aside(reactor, (struct message){.kind = MESSAGE_ORDER, .pointer = order});
}

enum outcome reactor_ask(struct reactor *reactor, struct question *question) {
    return send_aside(reactor, (struct message){.kind = MESSAGE_QUESTION, .pointer = question});
}

/* Once told to look, the loop takes the newest: it need not be told again before it has. */
void reactor_drain(struct reactor *reactor, uint64_t until_ns, gate_drained_fn *drained,
                   void *owner) {
    pthread_mutex_lock(&reactor->drain_lock);
    reactor->order = (struct drain_order){until_ns, drained, owner};
    bool told = reactor->order_sent;
    reactor->order_sent = true;
    pthread_mutex_unlock(&reactor->drain_lock);
    if (told) return;
    enum outcome sent = channel_try_send(reactor->channel, (struct message){.kind = MESSAGE_DRAIN});
    assert(sent == OK); /* it has a place of its own */
}

void reactor_reload(struct reactor *reactor, struct reload_order *order) {
    enum outcome sent = channel_try_send(
        reactor->channel, (struct message){.kind = MESSAGE_RELOAD, .pointer = order});
    assert(sent == OK); /* one at a time, and it has a place of its own */
}

void reactor_close(struct reactor *reactor) {
    enum outcome sent = channel_try_send(reactor->channel, (struct message){.kind = MESSAGE_CLOSE});
    assert(sent == OK); /* the same */
    pthread_join(reactor->thread, NULL);
    reactor_free(reactor);
}

_Atomic uint32_t *reactor_holds(struct reactor *reactor, uint32_t pool) {
    return &reactor->orchestrator.holds[pool];
}

size_t reactor_places(const struct reactor *reactor) {
    return reactor->orchestrator.places;
}

uint64_t reactor_seed(const struct reactor *reactor) {
    return reactor->seed;
}

struct admission *reactor_admission(struct reactor *reactor, uint32_t pool) {
    return &reactor->orchestrator.pools[pool]->admission;
}

struct publisher *reactor_publisher(struct reactor *reactor) {
    return reactor->publisher;
}

struct event_stream *reactor_events(struct reactor *reactor) {
    return reactor->events;
}
