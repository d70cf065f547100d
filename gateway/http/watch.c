#include "gateway/http/watch.h"

#include "core/base/clock.h"
#include "gateway/http/exchange.h"
#include "gateway/http/json_values.h"
#include "gateway/http/reply.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FEED_EVENTS 1024
#define TEXT_BYTES  8192 /* of one event, every character of it escaped */
#define LOOK_MS     2500
#define PING_NS     (10 * CLOCK_S)
#define ALWAYS                                                                                     \
    (HAPPENINGS_ALL & ~(HAPPENING_BIT(REQUEST_STARTED) | HAPPENING_BIT(REQUEST_COMPLETED) |        \
                        HAPPENING_BIT(REQUEST_FAILED)))

struct watch {
    struct exchange *exchange; /* NULL: it is over, and the channel still brings a message of it */
    struct watches *watches;
    struct list_node node;
    struct event_feed *feed;
    _Atomic bool posted; /* a message is under way */
    bool suspended;
    char pool[POOL_NAME_BYTES]; /* "": of all */
    uint64_t said_ns;
    size_t used, sent;
    char text[TEXT_BYTES];
};

/* --- what is said --- */

static const char *slot_name(const struct happening *happening, char name[80]) {
    name[0] = '\0';
    if (happening->slot != HAPPENING_NO_SLOT)
        snprintf(name, 80, "%s/%u", happening->pool, happening->slot);
    return name;
}

static json_t *happening_json(const struct happening *happening) {
    char slot[80];
    return json_pack(
        "{s:o, s:o, s:s, s:o, s:o, s:s, s:s, s:o, s:o, s:o, s:o}", "sequence",
        json_number(happening->sequence), "at", json_time(happening->at_ns), "kind",
        happening_name(happening->kind), "pool", json_text_or_null(happening->pool), "slot",
        json_text_or_null(slot_name(happening, slot)), "from", happening->from, "to", happening->to,
        "why", json_foreign(happening->why), "error", json_text_or_null(happening->error),
        "request", json_text_or_null(happening->request), "number", json_number(happening->number));
}

static void say(struct watch *watch, const struct happening *happening) {
    json_t *json = happening_json(happening);
    char data[TEXT_BYTES - 128];
    size_t bytes = json == NULL ? 0 : json_dumpb(json, data, sizeof data, JSON_COMPACT);
    json_decref(json);
    if (bytes == 0 || bytes > sizeof data) return;
    watch->used +=
        (size_t)snprintf(watch->text + watch->used, TEXT_BYTES - watch->used,
                         "id: %" PRIu64 "\nevent: %s\ndata: %.*s\n\n", happening->sequence,
                         happening_name(happening->kind), (int)bytes, data);
}

static bool is_meant(const struct watch *watch, const struct happening *happening) {
    return watch->pool[0] == '\0' || strcmp(watch->pool, happening->pool) == 0;
}

/* The next text to be sent; false: nothing has happened. */
static bool next_text(struct watch *watch) {
    struct happening happening;
    uint64_t lost;
    watch->used = watch->sent = 0;
    while (watch->used == 0) {
        bool more = event_feed_next(watch->feed, &happening, &lost);
        if (lost > 0)
            watch->used = (size_t)snprintf(watch->text, TEXT_BYTES,
                                           "event: lost\ndata: {\"count\":%" PRIu64 "}\n\n", lost);
        if (!more) break;
        if (is_meant(watch, &happening)) say(watch, &happening);
    }
    return watch->used > 0;
}

/* --- waiting --- */

static void suspend(struct watch *watch) {
    struct exchange *exchange = watch->exchange;
    watch->suspended = true;
    exchange->front->waiting++;
    edge_phase(exchange_port(exchange)->edge, exchange->client, EDGE_WORKING);
    MHD_suspend_connection(exchange->connection);
}

static void resume(struct watch *watch) {
    if (!watch->suspended) return;
    watch->suspended = false;
    watch->exchange->front->waiting--;
    MHD_resume_connection(watch->exchange->connection);
}

/* On the pool's loop, or here. The channel has a place for each feed. */
static void on_wake(void *owner) {
    struct watch *watch = owner;
    if (atomic_exchange(&watch->posted, true)) return;
    enum outcome sent =
        channel_try_send(watch->exchange->front->channel,
                         (struct message){.kind = FRONT_HAPPENED, .pointer = watch});
    assert(sent == OK);
}

void watch_happened(struct watch *watch) {
    atomic_store(&watch->posted, false);
    if (watch->exchange != NULL) {
        resume(watch);
        return;
    }
    watch->watches->over_but_told--;
    free(watch);
}

void watch_left(struct exchange *exchange) {
    if (exchange->watch != NULL && exchange_abandoned(exchange)) on_wake(exchange->watch);
}

static ssize_t on_read(void *owner, uint64_t position, char *out, size_t most) {
    (void)position;
    struct watch *watch = owner;
    struct exchange *exchange = watch->exchange;
    if (exchange_abandoned(exchange)) return MHD_CONTENT_READER_END_WITH_ERROR;
    if (watch->sent == watch->used && !next_text(watch)) {
        if (exchange->front->watches.over) return MHD_CONTENT_READER_END_OF_STREAM;
        suspend(watch);
        return 0;
    }
    size_t bytes = watch->used - watch->sent < most ? watch->used - watch->sent : most;
    memcpy(out, watch->text + watch->sent, bytes);
    watch->sent += bytes;
    watch->said_ns = clock_now_ns();
    edge_phase(exchange_port(exchange)->edge, exchange->client, EDGE_TAKING);
    return (ssize_t)bytes;
}

/* --- all of them --- */

static void on_timer(uv_timer_t *timer) {
    struct watches *watches = timer->data;
    uint64_t now_ns = clock_now_ns();
    for (struct list_node *at = watches->all.next; at != &watches->all; at = at->next) {
        struct watch *watch = LIST_ENTRY(at, struct watch, node);
        if (!watch->suspended || now_ns - watch->said_ns < PING_NS) continue;
        watch->sent = 0;
        watch->used = (size_t)snprintf(watch->text, TEXT_BYTES, ": ping\n\n");
        on_wake(watch);
    }
}

void watches_open(struct watches *watches, uv_loop_t *loop) {
    list_init(&watches->all);
    uv_timer_init(loop, &watches->timer);
    watches->timer.data = watches;
}

void watches_end(struct watches *watches) {
    watches->over = true;
    for (struct list_node *at = watches->all.next; at != &watches->all; at = at->next)
        resume(LIST_ENTRY(at, struct watch, node));
}

/* --- the handler --- */

/* The kinds of a list such as slot,breaker; 0: a name in it is none. */
static uint32_t read_kinds(const char *list) {
    uint32_t kinds = 0;
    while (*list != '\0') {
        size_t bytes = strcspn(list, ",");
        int kind = 0;
        while (kind < HAPPENING_COUNT &&
               (strlen(happening_name((enum happening_kind)kind)) != bytes ||
                strncmp(happening_name((enum happening_kind)kind), list, bytes) != 0))
            kind++;
        if (kind == HAPPENING_COUNT) return 0;
        kinds |= UINT32_C(1) << kind;
        list += bytes + (list[bytes] == ',');
    }
    return kinds;
}

static enum outcome open_watch(struct exchange *exchange, uint32_t kinds) {
    struct front *front = exchange->front;
    const char *pool =
        MHD_lookup_connection_value(exchange->connection, MHD_GET_ARGUMENT_KIND, "pool");
    if (front->watches.over) return SHUTTING_DOWN;
    struct watch *watch = calloc(1, sizeof *watch);
    if (watch == NULL) return MEMORY_EXHAUSTED;
    watch->exchange = exchange;
    watch->watches = &front->watches;
    watch->said_ns = clock_now_ns();
    watch->used = (size_t)snprintf(watch->text, TEXT_BYTES, ": from now on\n\n");
    if (pool != NULL) snprintf(watch->pool, sizeof watch->pool, "%s", pool);
    enum outcome outcome =
        gate_listen(front->gate, &watch->feed, kinds, FEED_EVENTS, on_wake, watch);
    if (outcome != OK) {
        free(watch);
        return outcome;
    }
    if (list_empty(&front->watches.all))
        uv_timer_start(&front->watches.timer, on_timer, LOOK_MS, LOOK_MS);
    list_push_back(&front->watches.all, &watch->node);
    exchange->watch = watch;
    return OK;
}

static enum MHD_Result on_complete(struct exchange *exchange) {
    const char *list =
        MHD_lookup_connection_value(exchange->connection, MHD_GET_ARGUMENT_KIND, "kinds");
    uint32_t kinds = list == NULL ? ALWAYS : read_kinds(list);
    if (kinds == 0)
        exchange_refuse(exchange, INVALID_REQUEST,
                        "kinds is a list of slot, turn, eviction, breaker, pressure, scale, pool, "
                        "quarantine, alarm, request_started, request_completed, request_failed");
    enum outcome outcome = kinds == 0 ? INVALID_REQUEST : open_watch(exchange, kinds);
    if (outcome != OK) {
        exchange_refuse(exchange, outcome, outcome == QUEUE_FULL ? "too many watch" : NULL);
        return reply_problem(exchange, &exchange->refusal);
    }
    struct MHD_Response *response = MHD_create_response_from_callback(
        MHD_SIZE_UNKNOWN, TEXT_BYTES, on_read, exchange->watch, NULL);
    if (response != NULL) {
        MHD_add_response_header(response, "Content-Type", "text/event-stream");
        MHD_add_response_header(response, "Cache-Control", "no-store");
    }
    return reply_queue(exchange, 200, response);
}

static void on_end(struct exchange *exchange) {
    struct watch *watch = exchange->watch;
    struct watches *watches = &exchange->front->watches;
    if (watch == NULL) return;
    assert(!watch->suspended);
    event_feed_close(watch->feed);
    list_remove(&watch->node);
    if (list_empty(&watches->all)) uv_timer_stop(&watches->timer);
    exchange->watch = NULL;
    watch->exchange = NULL;
    if (atomic_load(&watch->posted))
        watches->over_but_told++;
    else
        free(watch);
}

const struct handler handler_events = {.complete = on_complete, .end = on_end};
