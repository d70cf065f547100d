#include "gateway/edge/interior.h"

#include "core/base/clock.h"
#include "core/base/log.h"
#include "gateway/edge/stream_tls.h"

#include <assert.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define FAREWELL_NS (2 * CLOCK_S)
#define LINGER_MOST ((uint64_t)64 * 1024 * 1024) /* an honest body that nobody wanted */
#define ENEMY_MOST  ((uint64_t)256 * 1024)
#define LAST_WORDS  1024
#define H2_GOODBYE  17

void ending_count(struct edge *edge, const struct edge_client *client, enum edge_reason reason,
                  const char *detail) {
    if (client->own) return; /* it asks a TLS port in plain text: any answer will do */
    metrics_edge_closed(edge->options.metrics, edge->options.frontend, reason);
    uint64_t now_ns = clock_now_ns();
    if (edge->told_ns[reason] != 0 && now_ns - edge->told_ns[reason] < CLOCK_S) return;
    edge->told_ns[reason] = now_ns;
    char address[ADDRESS_TEXT_BYTES];
    address_write(&client->address, address);
    log_event(LOG_WARN, "connection ended", LOG_STR("reason", edge_reason_name(reason)),
              LOG_STR("frontend", edge->options.frontend == FRONTEND_HTTP ? "http" : "grpc"),
              LOG_STR("client", address), LOG_STR("detail", detail),
              LOG_UINT("connections", edge->clients.count));
}

void ending_place(struct edge *edge, struct edge_client *client) {
    patience_stop(&client->wait);
    if (client->paced.next != NULL) list_remove(&client->paced);
    if (client->stage == EDGE_STUCK) {
        list_remove(&client->stuck);
        edge->stuck_count--;
    }
    if (client->counted) addresses_leave(edge->addresses, &client->address);
    if (!client->own) edge->ordinary--;
    clients_give_back(&edge->clients, client);
}

static void part_from(struct edge *edge, int fd, uint64_t most) {
    farewell_add(&edge->farewell, fd, clock_now_ns() + FAREWELL_NS, most);
    edge_arm_tick(edge);
}

static void hard_close(int fd) {
    const struct linger hard = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close(fd);
}

/* --- relayed --- */

/* The client's socket is gone. The front end hears of it, unless it has forgotten the client already. */
static void relay_over(struct edge *edge, struct edge_client *client) {
    relay_close(client->relay);
    client->relay = NULL;
    client->fd = -1;
    patience_stop(&client->wait);
    edge_update_pace(edge, client);
    if (client->forgotten) {
        ending_place(edge, client);
        return;
    }
    client->presence = EDGE_GONE;
    edge->door->left(edge->owner, client);
}

static bool has_unread(int fd) {
    int unread = 0;
    return ioctl(fd, FIONREAD, &unread) == 0 && unread > 0;
}

/* What the session itself has found. A client that closes without a goodbye is nothing to talk of. */
static void count_flaw(struct edge *edge, const struct edge_client *client) {
    const struct stream *stream = &client->relay->client;
    if (edge->options.tls == NULL) return;
    enum edge_reason reason = edge_reason_of_tls(stream_tls_flaw(stream));
    if (reason == EDGE_TLS_RENEGOTIATION || reason == EDGE_TLS_KEY_UPDATES ||
        reason == EDGE_TLS_RECORD)
        ending_count(edge, client, reason, stream_tls_detail(stream));
}

void ending_relay(struct edge *edge, struct edge_client *client, bool lingers) {
    struct relay *relay = client->relay;
    bool lost = relay->state == RELAY_LOST;
    int fd = client->fd;
    if (lost)
        count_flaw(edge, client);
    else
        relay->client.kind->goodbye(&relay->client);
    lingers = !lost && (lingers || client->linger || has_unread(fd));
    uint64_t most = relay->state == RELAY_FLAWED ? ENEMY_MOST : LINGER_MOST;
    relay_over(edge, client);
    if (lingers)
        part_from(edge, fd, most);
    else
        close(fd);
}

static void say_last(struct edge *edge, struct edge_client *client, const char *answer) {
    relay_flush(client->relay, clock_now_ns());
    if (answer != NULL) relay_say(client->relay, answer, strlen(answer));
    ending_relay(edge, client, true);
}

/* --- whoever --- */

static void end_direct(struct edge *edge, struct edge_client *client, const char *answer) {
    client->ended = true;
    edge_update_pace(edge, client);
    if (answer != NULL)
        (void)!send(client->fd, answer, strlen(answer), MSG_NOSIGNAL | MSG_DONTWAIT);
    shutdown(client->fd, SHUT_RDWR); /* the front end sees its end and closes it */
}

static void end_unentered(struct edge *edge, struct edge_client *client, const char *answer) {
    int fd = client->fd;
    if (client->shaking.kind != NULL) client->shaking.kind->close(&client->shaking);
    if (answer != NULL && edge->options.tls == NULL)
        (void)!send(fd, answer, strlen(answer), MSG_NOSIGNAL | MSG_DONTWAIT);
    ending_place(edge, client);
    part_from(edge, fd, ENEMY_MOST);
}

/* What the client still sends is let go by: an alert that says why is on its way to it. */
void ending_shaking(struct edge *edge, struct edge_client *client) {
    ending_count(edge, client, edge_reason_of_tls(stream_tls_flaw(&client->shaking)),
                 stream_tls_detail(&client->shaking));
    end_unentered(edge, client, NULL);
}

void ending_end(struct edge *edge, struct edge_client *client, enum edge_reason reason) {
    const char *answer = edge->door->answers[reason];
    ending_count(edge, client, reason, "");
    patience_stop(&client->wait);
    if (client->stage != EDGE_ENTERED)
        end_unentered(edge, client, answer);
    else if (client->relay != NULL)
        say_last(edge, client, answer);
    else
        end_direct(edge, client, answer);
}

void ending_reset(struct edge *edge, struct edge_client *client, enum edge_reason reason) {
    int fd = client->fd;
    assert(client->stage == EDGE_ENTERED);
    ending_count(edge, client, reason, "");
    client->linger = false;
    if (client->relay != NULL) {
        client->relay->state = RELAY_LOST;
        relay_over(edge, client);
        hard_close(fd);
        return;
    }
    const struct linger hard = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    end_direct(edge, client, NULL);
}

/* --- who breaks the rules --- */

/* Every request that passed whole is answered first. One that was answered before it was whole has had its
 * answer, and needs no other. */
static void end_flawed_http(struct edge *edge, struct edge_client *client) {
    const struct http_guard *guard = &client->relay->guard.http;
    const struct edge_door *door = edge->door;
    char answer[LAST_WORDS];
    if (client->phase == EDGE_TAKING || client->answered < guard->requests) return;
    /* The library has said all of it; the client need not have it yet. */
    if (relay_flush(client->relay, clock_now_ns()) < RELAY_EMPTIED && relay_holds(client->relay))
        return;
    if (client->relay->state >= RELAY_EMPTIED) {
        ending_relay(edge, client, false);
        return;
    }
    ending_count(edge, client, edge_reason_of_http(guard->verdict), guard->flaw);
    answer[0] = '\0';
    if (door->write_flaw != NULL && client->answered == guard->requests)
        door->write_flaw(answer, sizeof answer, guard->answer, guard->flaw);
    say_last(edge, client, answer);
}

static void end_flawed_h2(struct edge *edge, struct edge_client *client) {
    uint8_t goodbye[H2_GOODBYE];
    enum h2_guard_verdict verdict = client->relay->guard.h2.verdict;
    ending_count(edge, client, edge_reason_of_h2(verdict), "");
    addresses_flooded(edge->addresses, &client->address, clock_now_ns());
    size_t bytes = h2_guard_goodbye(verdict, goodbye);
    relay_say(client->relay, goodbye, bytes);
    ending_relay(edge, client, true);
}

void ending_flawed(struct edge *edge, struct edge_client *client) {
    if (client->relay->kind == RELAY_H2_GUARD)
        end_flawed_h2(edge, client);
    else
        end_flawed_http(edge, client);
}
