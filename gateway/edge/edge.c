#include "gateway/edge/edge.h"

#include "core/base/clock.h"
#include "core/base/uninitialized.h"
#include "gateway/edge/interior.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define EVENTS_PER_TURN  256
#define TURNS            4
#define TLS_PER_TURN     16 /* each may be a handshake, half a millisecond of work */
#define ROUND_NS         CLOCK_MS
#define TICK_MS          250
#define LINGER_NS        (2 * CLOCK_S)
#define LINGER_MOST      ((uint64_t)64 * 1024 * 1024)
#define CLOSE_NS         CLOCK_S          /* for what is still under way to clients */
#define PROBE_TIMEOUT_NS (700 * CLOCK_MS) /* with a tick less than a second: probes speak at once */
#define PACE_WINDOW_NS   (5 * CLOCK_S)
#define IDLE_SLACK_NS    (20 * CLOCK_MS) /* the kernel's clock is coarse */
#define OWN_PLACES       4
#define H2_GREETING      (24 + 9) /* the preface and the head of the first frame, SETTINGS */
#define H2_GREETING_MOST 1024

/* --- pace --- */

static bool must_take(const struct edge_client *client) {
    if (client->relay != NULL && client->relay->down.held != NULL) return true;
    return client->phase == EDGE_TAKING;
}

/* Called after all that may change who has to send or to take. */
void edge_update_pace(struct edge *edge, struct edge_client *client) {
    bool takes = must_take(client), sends = client->phase == EDGE_SENDING;
    bool wanted = client->fd >= 0 && !client->ended && (takes || sends);
    bool paced = client->paced.next != NULL;
    enum pace_way way = takes ? PACE_TAKES : PACE_SENDS;
    if (paced && wanted && way == client->pace_way) return;
    if (paced) list_remove(&client->paced);
    if (!wanted || (edge->options.min_rate == 0 && edge->options.reader_stall_ns == 0)) return;
    client->pace_way = way;
    client->pace = (struct pace){.since_ns = 0};
    list_push_back(&edge->paced, &client->paced);
    edge_arm_tick(edge);
}

static struct pace_rule rule_of(const struct edge *edge, const struct edge_client *client) {
    const struct edge_options *options = &edge->options;
    if (client->pace_way == PACE_TAKES && options->reader_stall_ns > 0)
        return (struct pace_rule){.window_ns = options->reader_stall_ns, .least_bytes = 1};
    return (struct pace_rule){.window_ns = PACE_WINDOW_NS,
                              .least_bytes = options->min_rate * PACE_WINDOW_NS / CLOCK_S};
}

static void judge(struct edge *edge, struct edge_client *client, uint64_t now_ns) {
    const struct pace_rule rule = rule_of(edge, client);
    struct pace_sample sample;
    if (!pace_measure(client->fd, client->pace_way, &sample)) return;
    /* What the library does not take, the client need not send. */
    if (client->pace_way == PACE_SENDS && client->relay != NULL && client->relay->up.held != NULL)
        sample.owes = false;
    if (!pace_judge(&client->pace, &sample, &rule, now_ns)) return;
    if (client->pace_way == PACE_SENDS)
        ending_end(edge, client, EDGE_SLOW_SENDER);
    else
        ending_reset(edge, client, EDGE_SLOW_READER);
}

static void judge_paced(struct edge *edge, uint64_t now_ns) {
    if (list_empty(&edge->paced) || now_ns - edge->paced_ns < CLOCK_S) return;
    edge->paced_ns = now_ns;
    for (struct list_node *node = edge->paced.next, *next; node != &edge->paced; node = next) {
        next = node->next;
        judge(edge, LIST_ENTRY(node, struct edge_client, paced), now_ns);
    }
}

/* --- deadlines --- */

/* Nothing should have come since the last answer. What has come is no whole header, or the library would
 * have said so: it may have the same time once more. */
static void look_at_idle(struct edge *edge, struct edge_client *client, uint64_t now_ns) {
    uint64_t silent_ns = pace_silent_ms(client->fd) * CLOCK_MS;
    uint64_t idle_ns = now_ns - client->wait.due_ns + edge->patience.lengths_ns[PATIENCE_IDLE];
    bool spoke = silent_ns + IDLE_SLACK_NS < idle_ns;
    if (client->suspect) {
        ending_end(edge, client, EDGE_HEADER_TIMEOUT);
        return;
    }
    client->suspect = spoke;
    patience_start(&edge->patience, &client->wait, PATIENCE_IDLE, now_ns);
}

static bool owes_answers(const struct edge_client *client) {
    const struct relay *relay = client->relay;
    if (relay_is_unread(relay) || relay_holds(relay)) return true;
    return relay->kind == RELAY_HTTP_GUARD && client->answered < relay->guard.http.requests;
}

static void on_due(struct edge *edge, struct edge_client *client, enum patience_kind kind,
                   uint64_t now_ns) {
    switch (kind) {
    case PATIENCE_HEADER: ending_end(edge, client, EDGE_HEADER_TIMEOUT); break;
    case PATIENCE_PROBE:
        ending_end(edge, client, client->own ? EDGE_HEADER_TIMEOUT : EDGE_FULL);
        break;
    case PATIENCE_IDLE: look_at_idle(edge, client, now_ns); break;
    case PATIENCE_LEAVING:
        /* What it asked before its FIN may lie before the library still. */
        if (client->relay != NULL && owes_answers(client))
            patience_start(&edge->patience, &client->wait, PATIENCE_LEAVING, now_ns);
        else if (client->relay != NULL)
            relay_end_library(client->relay);
        else
            shutdown(client->fd, SHUT_RDWR);
        break;
    case PATIENCE_COUNT: break;
    }
}

static void finish_if_over(struct edge *edge, uint64_t now_ns);

static void on_tick(uv_timer_t *timer) {
    struct edge *edge = timer->data;
    uint64_t now_ns = clock_now_ns();
    struct wait *wait;
    while ((wait = patience_next_due(&edge->patience, now_ns)) != NULL)
        on_due(edge, LIST_ENTRY(wait, struct edge_client, wait), wait->kind, now_ns);
    judge_paced(edge, now_ns);
    farewell_expire(&edge->farewell, now_ns);
    if (edge->closing)
        finish_if_over(edge, now_ns);
    else if (patience_is_empty(&edge->patience) && list_empty(&edge->paced) &&
             edge->farewell.count == 0)
        uv_timer_stop(timer);
}

void edge_arm_tick(struct edge *edge) {
    if (edge->handles_open > 0 && !uv_is_active((uv_handle_t *)&edge->tick))
        uv_timer_start(&edge->tick, on_tick, TICK_MS, TICK_MS);
}

/* --- clients --- */

static void wait_for_next(struct edge *edge, struct edge_client *client, uint64_t now_ns) {
    const struct relay *relay = client->relay;
    if (client->presence == EDGE_HALF_CLOSED)
        patience_start(&edge->patience, &client->wait, PATIENCE_LEAVING, now_ns);
    else if (relay == NULL && client->fd >= 0)
        patience_start(&edge->patience, &client->wait, PATIENCE_IDLE, now_ns);
    else if (relay != NULL && relay->kind == RELAY_HTTP_GUARD && !relay->guard.http.between)
        patience_start(&edge->patience, &client->wait, PATIENCE_HEADER, now_ns);
    else
        return;
    edge_arm_tick(edge);
}

void edge_phase(struct edge *edge, struct edge_client *client, enum edge_phase phase) {
    client->phase = phase;
    client->suspect = false;
    patience_stop(&client->wait);
    edge_update_pace(edge, client);
    if (phase != EDGE_BETWEEN) return;
    client->answered++;
    if (client->relay != NULL && client->relay->state == RELAY_FLAWED)
        ending_flawed(edge, client);
    else
        wait_for_next(edge, client, clock_now_ns());
}

void edge_linger(struct edge_client *client) {
    client->linger = true;
}

void edge_forget(struct edge *edge, struct edge_client *client) {
    assert(client->stage == EDGE_ENTERED && !client->forgotten);
    if (client->relay != NULL) {
        client->forgotten = true; /* what the library has left behind is still to be brought */
        client->owner = NULL;
        client->phase = EDGE_BETWEEN;
        patience_stop(&client->wait);
        edge_update_pace(edge, client);
        return;
    }
    /* The duplicate outlives the front end's close, so no reset is sent. */
    int fd = client->linger && client->fd >= 0 ? fcntl(client->fd, F_DUPFD_CLOEXEC, 3) : -1;
    ending_place(edge, client);
    if (fd < 0) return;
    farewell_add(&edge->farewell, fd, clock_now_ns() + LINGER_NS, LINGER_MOST);
    edge_arm_tick(edge);
}

static void worsen(struct edge *edge, struct edge_client *client, enum edge_presence presence) {
    if (presence <= client->presence) return;
    client->presence = presence;
    if (client->forgotten) return;
    bool between = client->phase == EDGE_BETWEEN && edge->options.service != EDGE_GUARDED_H2;
    if (presence == EDGE_HALF_CLOSED && between) wait_for_next(edge, client, clock_now_ns());
    edge->door->left(edge->owner, client);
}

/* --- relayed --- */

/* A client of HTTP/2 has spoken when its first frame, SETTINGS, is whole. */
static void hear_h2(struct edge_client *client) {
    const struct relay *relay = client->relay;
    if (!patience_waits(&client->wait) || client->wait.kind != PATIENCE_HEADER) return;
    bool whole = relay->guard.h2.readers[H2_FROM_CLIENT].payload == 0;
    uint64_t moved = relay->up.moved;
    if (moved >= H2_GREETING && (whole || moved > H2_GREETING_MOST)) patience_stop(&client->wait);
}

static void hear_http(struct edge *edge, struct edge_client *client) {
    if (client->phase != EDGE_BETWEEN || client->forgotten || patience_waits(&client->wait)) return;
    if (client->relay->guard.http.between) return;
    patience_start(&edge->patience, &client->wait, PATIENCE_HEADER, clock_now_ns());
    edge_arm_tick(edge);
}

void edge_turn_relay(struct edge *edge, struct edge_client *client, enum relay_state state) {
    switch (state) {
    case RELAY_LOST:
    case RELAY_EMPTIED: ending_relay(edge, client, false); return;
    case RELAY_FLAWED: ending_flawed(edge, client); break;
    case RELAY_MOVING:
        if (client->relay->kind == RELAY_H2_GUARD)
            hear_h2(client);
        else if (client->relay->kind == RELAY_HTTP_GUARD)
            hear_http(edge, client);
        break;
    }
    if (client->relay != NULL) edge_update_pace(edge, client);
}

static void relay_event(struct edge *edge, struct edge_client *client, uint64_t tag,
                        uint32_t events) {
    struct relay *relay = client->relay;
    uint64_t now_ns = clock_now_ns();
    if ((tag & CLIENT_LIBRARY_TAG) != 0) {
        edge_turn_relay(edge, client, relay_library_event(relay, events, now_ns));
        return;
    }
    uint32_t generation = client->generation;
    edge_turn_relay(edge, client, relay_client_event(relay, events, now_ns));
    /* TLS says its end before TCP does. */
    bool there = client->generation == generation && client->relay == relay;
    if (there && ((events & EPOLLRDHUP) != 0 || relay->up.ended))
        worsen(edge, client, EDGE_HALF_CLOSED);
}

static void client_event(struct edge *edge, const struct epoll_event *event) {
    struct edge_client *client = clients_find(&edge->clients, event->data.u64);
    if (client == NULL) return;
    if (client->stage != EDGE_ENTERED) {
        arrival_event(edge, client, event->events);
    } else if (client->relay != NULL) {
        relay_event(edge, client, event->data.u64, event->events);
    } else if ((event->events & (EPOLLERR | EPOLLHUP | EPOLLRDHUP)) != 0) {
        bool gone = (event->events & (EPOLLERR | EPOLLHUP)) != 0;
        worsen(edge, client, gone ? EDGE_GONE : EDGE_HALF_CLOSED);
    }
}

static void on_watch(uv_poll_t *poll, int status, int events) {
    (void)status, (void)events;
    struct edge *edge = poll->data;
    UNINITIALIZED struct epoll_event ready[EVENTS_PER_TURN];
    const int most = edge->options.tls != NULL ? TLS_PER_TURN : EVENTS_PER_TURN;
    const uint64_t until_ns = clock_now_ns() + ROUND_NS;
    int count = most;
    for (int turn = 0; turn < TURNS && count > 0; turn++) {
        if (turn > 0 && most == TLS_PER_TURN && clock_now_ns() >= until_ns) return;
        count = epoll_wait(edge->watch, ready, most, 0);
        for (int i = 0; i < count; i++) {
            if ((ready[i].data.u64 & FAREWELL_TAG) != 0)
                farewell_event(&edge->farewell, ready[i].data.u64);
            else
                client_event(edge, &ready[i]);
        }
    }
}

/* --- life --- */

static enum outcome read_trusted(struct edge *edge) {
    const char *const *texts = edge->options.trusted_proxies;
    size_t count = 0;
    while (texts != NULL && texts[count] != NULL) count++;
    if (count == 0) return OK;
    edge->trusted = calloc(count, sizeof *edge->trusted);
    if (edge->trusted == NULL) return MEMORY_EXHAUSTED;
    for (size_t i = 0; i < count; i++)
        if (network_read(&edge->trusted[edge->trusted_count], texts[i])) edge->trusted_count++;
    assert(edge->trusted_count == count); /* the configuration has checked them */
    return OK;
}

bool edge_trusts(const struct edge *edge, const struct address *address) {
    for (size_t i = 0; i < edge->trusted_count; i++)
        if (network_has(&edge->trusted[i], address)) return true;
    return false;
}

static void edge_free(struct edge *edge) {
    if (edge->watch >= 0) close(edge->watch);
    addresses_close(edge->addresses);
    if (edge->clients.places != NULL) clients_close(&edge->clients);
    free(edge->trusted);
    free(edge);
}

static struct edge *edge_new(const struct edge_options *options) {
    struct edge *edge = calloc(1, sizeof *edge);
    if (edge == NULL) return NULL;
    size_t places = (size_t)options->max_connections + options->probe_connections + OWN_PLACES;
    edge->options = *options;
    edge->watch = epoll_create1(EPOLL_CLOEXEC);
    list_init(&edge->paced);
    list_init(&edge->stuck);
    patience_init(&edge->patience);
    for (int kind = 0; kind < PATIENCE_COUNT; kind++)
        edge->patience.lengths_ns[kind] = options->header_timeout_ns;
    edge->patience.lengths_ns[PATIENCE_PROBE] = PROBE_TIMEOUT_NS;
    edge->patience.lengths_ns[PATIENCE_LEAVING] = CLOCK_MS;
    if (edge->watch >= 0 && clients_open(&edge->clients, places) == OK &&
        addresses_open(&edge->addresses, places) == OK && read_trusted(edge) == OK)
        return edge;
    edge_free(edge);
    return NULL;
}

int edge_bind(const char *host, uint16_t port) {
    return listener_bind(host, port);
}

static enum outcome open_listener(struct edge *edge, uv_loop_t *loop) {
    const char *answer = edge->options.tls == NULL ? edge->door->answers[EDGE_FULL] : NULL;
    const struct listener_options options = {
        .host = edge->options.host,
        .port = edge->options.port,
        .inherited_fd = edge->options.inherited_fd,
        .answer_full = answer != NULL ? answer : "",
        .accepted = arrival_accepted,
        .owner = edge,
    };
    return listener_open(&edge->listener, loop, &options);
}

enum outcome edge_open(struct edge **out, uv_loop_t *loop, const struct edge_options *options,
                       const struct edge_door *door, void *owner) {
    *out = NULL;
    assert(options->tls == NULL || options->service != EDGE_DIRECT);
    struct edge *edge = edge_new(options);
    if (edge == NULL) return MEMORY_EXHAUSTED;
    edge->door = door;
    edge->owner = owner;
    enum outcome outcome = open_listener(edge, loop);
    if (outcome != OK) {
        int error = errno;
        edge_free(edge);
        errno = error;
        return outcome;
    }
    farewell_init(&edge->farewell, edge->watch);
    int failed = uv_poll_init(loop, &edge->watch_poll, edge->watch);
    assert(failed == 0);
    uv_timer_init(loop, &edge->tick);
    uv_timer_init(loop, &edge->release);
    edge->watch_poll.data = edge->tick.data = edge->release.data = edge;
    edge->handles_open = 3;
    uv_poll_start(&edge->watch_poll, UV_READABLE, on_watch);
    *out = edge;
    return OK;
}

uint16_t edge_port(const struct edge *edge) {
    return listener_port(edge->listener);
}

void edge_stop_listening(struct edge *edge) {
    listener_stop(edge->listener);
    for (size_t i = 0; i < edge->clients.places_count; i++) {
        struct edge_client *client = &edge->clients.places[i];
        if (client->stage != EDGE_NOWHERE && client->stage != EDGE_ENTERED)
            arrival_drop(edge, client);
    }
}

static void on_handle_closed(uv_handle_t *handle) {
    struct edge *edge = handle->data;
    if (--edge->handles_open == 0) edge_free(edge);
}

static void finish_if_over(struct edge *edge, uint64_t now_ns) {
    if (uv_is_closing((uv_handle_t *)&edge->tick)) return;
    bool late = now_ns >= edge->close_by_ns;
    for (size_t i = 0; i < edge->clients.places_count && late && edge->clients.count > 0; i++) {
        struct edge_client *client = &edge->clients.places[i];
        if (client->stage != EDGE_NOWHERE) ending_relay(edge, client, false);
    }
    if (edge->clients.count > 0) return;
    farewell_expire(&edge->farewell, CLOCK_NEVER);
    uv_close((uv_handle_t *)&edge->watch_poll, on_handle_closed);
    uv_close((uv_handle_t *)&edge->tick, on_handle_closed);
    uv_close((uv_handle_t *)&edge->release, on_handle_closed);
}

void edge_close(struct edge *edge) {
    edge_stop_listening(edge);
    listener_close(edge->listener);
    for (size_t i = 0; i < edge->clients.places_count && edge->clients.count > 0; i++)
        assert(edge->clients.places[i].stage == EDGE_NOWHERE || edge->clients.places[i].forgotten);
    edge->closing = true;
    edge->close_by_ns = clock_now_ns() + CLOSE_NS;
    finish_if_over(edge, clock_now_ns());
    if (edge->clients.count > 0) uv_timer_start(&edge->tick, on_tick, 10, 10);
}
