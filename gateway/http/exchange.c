#include "gateway/http/exchange.h"

#include "core/base/clock.h"
#include "gateway/http/exchange_record.h"
#include "gateway/http/forwarded.h"
#include "gateway/http/inquiry.h"
#include "gateway/http/origin.h"
#include "gateway/http/path.h"
#include "gateway/http/reply.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* A refused body up to this length is read and thrown away, so that its connection can be kept. */
#define SWALLOW_WHOLE_BYTES ((uint64_t)64 * 1024)
/* A refused body is read no further than this; then the connection is cut. */
#define SWALLOW_MOST_BYTES ((uint64_t)16 * 1024 * 1024)
#define PATH_BYTES         512

void exchange_refuse(struct exchange *exchange, enum outcome outcome, const char *detail) {
    if (exchange->refusal.outcome != OK) return;
    exchange->refusal.outcome = outcome;
    exchange->refusal.detail = detail;
}

const struct front_port *exchange_port(const struct exchange *exchange) {
    return exchange->client->port;
}

bool exchange_abandoned(const struct exchange *exchange) {
    if (exchange->client->presence == EDGE_GONE) return true;
    return exchange->client->presence == EDGE_HALF_CLOSED &&
           exchange->front->config->http.half_close == HALF_CLOSE_CANCEL;
}

/* The client's own id if it is fit and free, else a fresh one. */
static void choose_id(struct exchange *exchange) {
    struct front *front = exchange->front;
    const char *id = exchange->headers.request_id;
    if (id != NULL && request_id_usable(id, strlen(id)) &&
        live_requests_add(front->live, &exchange->live, id))
        return;
    do request_id_fresh(&front->ids, exchange->id);
    while (!live_requests_add(front->live, &exchange->live, exchange->id));
}

static void find_handler(struct exchange *exchange) {
    char path[PATH_BYTES];
    const char *flaw;
    enum outcome outcome = path_decode(exchange->target, path, sizeof path, &flaw);
    if (outcome == OK)
        outcome = route_find(routes, routes_count, exchange_port(exchange)->routes,
                             exchange->method, path, &exchange->match);
    if (outcome != OK) exchange_refuse(exchange, outcome, flaw);
    exchange->handler = exchange->match.handler;
}

/* A refusal that says more than what the route had to say. */
static void refuse_above_all(struct exchange *exchange, enum outcome outcome, const char *detail,
                             uint64_t retry_after_ns) {
    metrics_refused(exchange->front->metrics, FRONTEND_HTTP, outcome);
    exchange->refusal =
        (struct refusal){.outcome = outcome, .detail = detail, .retry_after_ns = retry_after_ns};
}

static struct in6_addr asking_address(const struct exchange *exchange) {
    const struct address_key key = address_key(&exchange->address);
    struct in6_addr address;
    memcpy(&address, key.bytes, sizeof address);
    return address;
}

/* Before a browser sends a key it asks without one whether it may. */
static bool is_preflight(const struct exchange *exchange) {
    return exchange->headers.preflight != NULL && strcmp(exchange->method, "OPTIONS") == 0 &&
           origin_listed(&exchange->front->config->http.origins, exchange->headers.origin);
}

/* Who asks comes before what is asked for: a stranger does not learn which paths there are. */
static void check_access(struct exchange *exchange) {
    struct front *front = exchange->front;
    const struct front_port *port = exchange_port(exchange);
    const struct headers *headers = &exchange->headers;
    const char *flaw =
        origin_flaw(&front->config->http.origins, port->loopback, headers->host, headers->origin);
    if (flaw != NULL) {
        refuse_above_all(exchange, PERMISSION_DENIED, flaw, 0);
        return;
    }
    if (is_preflight(exchange)) return;
    const struct access_ask ask = {
        .need = exchange->match.need,
        .credentials_count = headers->authorizations,
        .credentials = headers->authorization,
        .credentials_bytes = headers->authorization == NULL ? 0 : strlen(headers->authorization),
        .address = asking_address(exchange),
        .admin_door = port->admin,
        .now_ns = exchange->arrived_ns,
        .wall_s = clock_wall_ns(exchange->arrived_ns) / CLOCK_S,
    };
    access_decide(front->access, &ask, &exchange->grant);
    if (exchange->grant.outcome != OK)
        refuse_above_all(exchange, exchange->grant.outcome, exchange->grant.detail,
                         exchange->grant.retry_after_ns);
}

/* Whether a refusal must not wait for the body: it is long, of unknown length, or not yet sent. */
static bool refuse_now(const struct exchange *exchange) {
    const struct hygiene *hygiene = &exchange->headers.hygiene;
    if (exchange->headers.expect != NULL || hygiene->encodings > 0) return true;
    return hygiene->lengths > 0 && hygiene->content_length > SWALLOW_WHOLE_BYTES;
}

static enum MHD_Result reply_refusal(struct exchange *exchange) {
    if (exchange->refusal.outcome == METHOD_NOT_ALLOWED && strcmp(exchange->method, "OPTIONS") == 0)
        return reply_options(exchange);
    return reply_problem(exchange, &exchange->refusal);
}

/* A reply before the body has come ends the connection; what the client still sends is let go by. */
static enum MHD_Result reply_early(struct exchange *exchange) {
    exchange->close = true;
    edge_linger(exchange->client);
    return reply_refusal(exchange);
}

static struct exchange *exchange_new(struct front *front, struct MHD_Connection *connection,
                                     const char *method, const char *target) {
    struct exchange *exchange = calloc(1, sizeof *exchange);
    if (exchange == NULL) return NULL;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    exchange->front = front;
    exchange->connection = connection;
    exchange->client = info->socket_context;
    exchange->method = method;
    exchange->target = target;
    exchange->arrived_ns = clock_now_ns();
    exchange->invoke.pool = GATE_NO_POOL;
    exchange->client->owner = exchange;
    front->exchanges++;
    front->reading++;
    return exchange;
}

enum MHD_Result exchange_begin(struct front *front, struct MHD_Connection *connection,
                               const char *method, const char *target, const char *version,
                               void **context) {
    struct exchange *exchange = exchange_new(front, connection, method, target);
    if (exchange == NULL) return MHD_NO;
    *context = exchange;
    headers_read(&exchange->headers, connection);
    const struct hygiene *hygiene = &exchange->headers.hygiene;
    bool body = hygiene->content_length > 0 || hygiene->encodings > 0;
    struct edge *edge = exchange_port(exchange)->edge;
    edge_phase(edge, exchange->client, body ? EDGE_SENDING : EDGE_WORKING);
    exchange->address =
        forwarded_client(edge, &exchange->client->address, exchange->headers.forwarded_for);
    choose_id(exchange);
    observer_began(front->observer, exchange->headers.traceparent, &exchange->course);
    const struct start_line start = {method, target, version};
    const char *flaw;
    enum outcome outcome = hygiene_verdict(&exchange->headers.hygiene, &start, &flaw);
    if (outcome != OK) {
        exchange_refuse(exchange, outcome, flaw);
        return reply_early(exchange);
    }
    find_handler(exchange);
    if (exchange->refusal.outcome != INVALID_REQUEST) check_access(exchange);
    bool probe = exchange->handler != NULL && exchange->handler->probe;
    if (exchange->client->room == EDGE_ROOM_PROBES && !probe) {
        exchange->refusal.outcome = OK;
        exchange_refuse(exchange, QUEUE_FULL, "there are too many connections");
        return reply_early(exchange);
    }
    assert(exchange->refusal.outcome != OK || exchange->handler != NULL);
    if (exchange->refusal.outcome == OK && exchange->handler->begin != NULL)
        exchange->handler->begin(exchange);
    if (exchange->refusal.outcome != OK && refuse_now(exchange)) return reply_early(exchange);
    return MHD_YES;
}

enum MHD_Result exchange_body(struct exchange *exchange, const char *data, size_t *bytes) {
    size_t count = *bytes;
    *bytes = 0;
    exchange->course.bytes_in += count;
    if (exchange->refusal.outcome == OK && exchange->handler->body != NULL) {
        exchange->handler->body(exchange, data, count);
        if (exchange->refusal.outcome == OK) return MHD_YES;
    }
    /* The library cannot send a reply in the middle of a body. */
    exchange->swallowed += count;
    if (exchange->swallowed <= SWALLOW_MOST_BYTES) return MHD_YES;
    edge_linger(exchange->client);
    return MHD_NO;
}

enum MHD_Result exchange_continue(struct exchange *exchange) {
    if (exchange->phase == EXCHANGE_ANSWERED) return exchange->handler->answered(exchange);
    assert(exchange->phase == EXCHANGE_READING);
    edge_phase(exchange_port(exchange)->edge, exchange->client, EDGE_WORKING);
    if (exchange->refusal.outcome == OK) return exchange->handler->complete(exchange);
    if (exchange->refusal.outcome == PAYLOAD_TOO_LARGE) exchange->close = true;
    return reply_refusal(exchange);
}

void exchange_suspend(struct exchange *exchange) {
    exchange->phase = EXCHANGE_WAITING;
    exchange->front->reading--;
    exchange->front->waiting++;
    MHD_suspend_connection(exchange->connection);
}

void exchange_resume(struct exchange *exchange) {
    assert(exchange->phase == EXCHANGE_WAITING);
    exchange->phase = EXCHANGE_ANSWERED;
    exchange->front->waiting--;
    MHD_resume_connection(exchange->connection);
}

enum outcome exchange_outcome(const struct exchange *exchange) {
    if (exchange->refusal.outcome != OK) return exchange->refusal.outcome;
    return exchange->phase == EXCHANGE_REPLIED ? exchange->course.outcome : CANCELLED;
}

void exchange_end(struct exchange *exchange) {
    assert(exchange->phase != EXCHANGE_WAITING);
    access_leave(&exchange->grant);
    if (exchange->handler != NULL && exchange->handler->end != NULL)
        exchange->handler->end(exchange);
    exchange_record_ended(exchange);
    inquiry_end(exchange);
    struct front *front = exchange->front;
    struct edge_client *client = exchange->client;
    struct edge *edge = exchange_port(exchange)->edge;
    live_requests_remove(front->live, &exchange->live);
    client->owner = NULL;
    front->exchanges--;
    if (exchange->phase == EXCHANGE_READING) front->reading--;
    free(exchange);
    edge_phase(edge, client, EDGE_BETWEEN);
}
