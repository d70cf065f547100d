/* exchange - one HTTP request from its headers to the last byte of its reply.
 * thread: the HTTP thread's.
 * owns:   itself, freed by exchange_end; what its handler keeps in `invoke`.
 * fails:  exchange_begin returns MHD_NO when out of memory: the connection is cut. */
#ifndef GATEWAY_HTTP_EXCHANGE_H
#define GATEWAY_HTTP_EXCHANGE_H

#include "gateway/http/front.h"
#include "gateway/http/handlers.h"
#include "gateway/http/headers.h"
#include "gateway/http/routes.h"

enum exchange_phase {
    EXCHANGE_READING,  /* its body comes in */
    EXCHANGE_WAITING,  /* suspended: the pool has the request or the question */
    EXCHANGE_ANSWERED, /* resumed: the answer is here */
    EXCHANGE_REPLIED   /* a reply is queued */
};

struct refusal {
    enum outcome outcome; /* OK: not refused */
    enum source source;
    const char *detail; /* NULL: the outcome's title */
    uint64_t retry_after_ns;
};

struct invoke {
    uint32_t pool; /* held; GATE_NO_POOL: none was found */
    enum priority priority;
    uint64_t deadline_ns;
    struct body *body; /* NULL before its first byte */
    uint64_t id;       /* the gate's name of it while the exchange waits */
    bool cancelled;
    struct request *request; /* the pool's answer, from EXCHANGE_ANSWERED to the reply */
};

struct exchange {
    struct front *front;
    struct MHD_Connection *connection;
    struct edge_client *client;
    struct address address; /* who asks, for limits and logs: a proxy that is trusted may say so */
    const struct handler *handler; /* NULL: nothing is at this path */
    const char *method, *target;
    struct route_match match;
    struct headers headers;
    struct access_grant grant;
    enum exchange_phase phase;
    bool close; /* the connection ends with the reply */
    uint64_t arrived_ns, swallowed;
    struct refusal refusal;
    struct request_course course;
    struct live_request live; /* live.id is the request's id */
    char id[REQUEST_ID_FRESH_BYTES];
    struct invoke invoke;
    struct watch *watch;     /* of a stream of events; NULL: it is none */
    struct inquiry *inquiry; /* what it asks the pool loop; NULL: nothing */
};

/* The first call of the handler, with the headers. */
enum MHD_Result exchange_begin(struct front *front, struct MHD_Connection *connection,
                               const char *method, const char *target, const char *version,
                               void **context);
enum MHD_Result exchange_body(struct exchange *exchange, const char *data, size_t *bytes);
/* All of the body is there, or the connection was resumed. */
enum MHD_Result exchange_continue(struct exchange *exchange);
/* The reply is out, or the connection is lost. */
void exchange_end(struct exchange *exchange);

/* What it waits for is on its way to the loop, which only posts to the channel; that is here. */
void exchange_suspend(struct exchange *exchange);
void exchange_resume(struct exchange *exchange);
/* How it ended, once it has. */
enum outcome exchange_outcome(const struct exchange *exchange);

/* The first refusal counts. detail: a constant text or NULL. */
void exchange_refuse(struct exchange *exchange, enum outcome outcome, const char *detail);
/* The address that it came to. */
const struct front_port *exchange_port(const struct exchange *exchange);
/* Whether the client is to be taken for one that left (http.half_close). */
bool exchange_abandoned(const struct exchange *exchange);

#endif
