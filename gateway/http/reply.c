#include "gateway/http/reply.h"

#include "gateway/http/origin.h"
#include "gateway/http/problem.h"
#include "gateway/retry_after.h"
#include "gateway/status_map.h"

#include <assert.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPOSED_HEADERS                                                                            \
    "X-Request-Id, Poolgate-Slot, Poolgate-Attempts, Server-Timing, Retry-After, RateLimit, "      \
    "RateLimit-Policy"
#define ALLOWED_HEADERS                                                                            \
    "Authorization, Content-Type, Idempotency-Key, Poolgate-Batch-Key, Poolgate-Operation, "       \
    "Poolgate-Priority, Poolgate-Tenant, Poolgate-Timeout-Ms, Prefer, Priority, X-Request-Id, "    \
    "traceparent"

/* draft-ietf-httpapi-ratelimit-headers-09: what a key's tenant may use, and what is left of it. */
static void add_quota(struct MHD_Response *response, const struct tenant_quota *quota) {
    char policy[96] = "", state[96] = "";
    size_t policy_used = 0, state_used = 0;
    if (quota->limit > 0) {
        policy_used = (size_t)snprintf(policy, sizeof policy, "\"rate\";q=%u;w=%u", quota->limit,
                                       quota->window_s);
        state_used = (size_t)snprintf(state, sizeof state, "\"rate\";r=%u;t=%u", quota->remaining,
                                      quota->reset_s);
    }
    if (quota->places > 0) {
        const char *between = policy_used > 0 ? ", " : "";
        snprintf(policy + policy_used, sizeof policy - policy_used,
                 "%s\"concurrency\";q=%u;qu=\"concurrent-requests\"", between, quota->places);
        snprintf(state + state_used, sizeof state - state_used, "%s\"concurrency\";r=%u", between,
                 quota->places_left);
    }
    if (policy[0] == '\0') return;
    MHD_add_response_header(response, "RateLimit-Policy", policy);
    MHD_add_response_header(response, "RateLimit", state);
}

/* For pages of a listed origin; the others' browsers keep the answer from them. */
static void add_cors(struct MHD_Response *response, const struct exchange *exchange) {
    const struct text_list *origins = &exchange->front->config->http.origins;
    if (origins->count == 0) return;
    MHD_add_response_header(response, "Vary", "Origin");
    if (!origin_listed(origins, exchange->headers.origin)) return;
    MHD_add_response_header(response, "Access-Control-Allow-Origin", exchange->headers.origin);
    if (exchange->headers.preflight == NULL) {
        MHD_add_response_header(response, "Access-Control-Expose-Headers", EXPOSED_HEADERS);
        return;
    }
    MHD_add_response_header(response, "Access-Control-Allow-Methods", exchange->match.allow);
    MHD_add_response_header(response, "Access-Control-Allow-Headers", ALLOWED_HEADERS);
    MHD_add_response_header(response, "Access-Control-Max-Age", "600");
}

enum MHD_Result reply_queue(struct exchange *exchange, unsigned status,
                            struct MHD_Response *response) {
    assert(exchange->phase == EXCHANGE_READING || exchange->phase == EXCHANGE_ANSWERED);
    if (exchange->phase == EXCHANGE_READING) exchange->front->reading--;
    exchange->phase = EXCHANGE_REPLIED;
    access_leave(&exchange->grant);
    exchange->course.status = response == NULL ? 0 : status;
    if (response == NULL) return MHD_NO;
    edge_phase(exchange_port(exchange)->edge, exchange->client, EDGE_TAKING);
    MHD_add_response_header(response, "X-Request-Id", exchange->live.id);
    add_quota(response, &exchange->grant.quota);
    add_cors(response, exchange);
    if (exchange->close || atomic_load_explicit(&exchange->front->draining, memory_order_relaxed))
        MHD_add_response_header(response, "Connection", "close");
    enum MHD_Result queued = MHD_queue_response(exchange->connection, status, response);
    MHD_destroy_response(response);
    return queued;
}

void reply_counts(struct exchange *exchange, size_t bytes) {
    if (strcmp(exchange->method, "HEAD") != 0) exchange->course.bytes_out += bytes;
}

enum MHD_Result reply_text(struct exchange *exchange, unsigned status, const char *content_type,
                           char *text, size_t bytes) {
    struct MHD_Response *response =
        text == NULL ? NULL : MHD_create_response_from_buffer(bytes, text, MHD_RESPMEM_MUST_FREE);
    if (response == NULL) {
        free(text);
    } else {
        reply_counts(exchange, bytes);
        MHD_add_response_header(response, "Content-Type", content_type);
        MHD_add_response_header(response, "Cache-Control", "no-store");
        if (status == 503) MHD_add_response_header(response, "Retry-After", "1");
    }
    return reply_queue(exchange, status, response);
}

enum MHD_Result reply_json(struct exchange *exchange, unsigned status, json_t *json) {
    char *text = json == NULL ? NULL : json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(10));
    json_decref(json);
    return reply_text(exchange, status, "application/json", text, text == NULL ? 0 : strlen(text));
}

struct MHD_Response *reply_make_problem(struct exchange *exchange, const struct refusal *refusal) {
    char text[PROBLEM_BYTES], seconds[24];
    struct problem problem = {
        .outcome = refusal->outcome,
        .source = refusal->source,
        .detail = refusal->detail,
        .instance = exchange->target,
        .request_id = exchange->live.id,
        .retry_after_ns = refusal->retry_after_ns,
    };
    size_t bytes = problem_write(&problem, text);
    struct MHD_Response *response =
        MHD_create_response_from_buffer(bytes, text, MHD_RESPMEM_MUST_COPY);
    if (response == NULL) return NULL;
    reply_counts(exchange, bytes);
    MHD_add_response_header(response, "Content-Type", PROBLEM_CONTENT_TYPE);
    uint64_t wait_s = retry_after_s(refusal->outcome, refusal->retry_after_ns);
    if (wait_s > 0) {
        snprintf(seconds, sizeof seconds, "%" PRIu64, wait_s);
        MHD_add_response_header(response, "Retry-After", seconds);
    }
    if (refusal->outcome == UNAUTHENTICATED)
        MHD_add_response_header(response, "WWW-Authenticate", "Bearer realm=\"poolgate\"");
    if (refusal->outcome == METHOD_NOT_ALLOWED)
        MHD_add_response_header(response, "Allow", exchange->match.allow);
    return response;
}

enum MHD_Result reply_problem(struct exchange *exchange, const struct refusal *refusal) {
    return reply_queue(exchange, status_of(refusal->outcome)->http,
                       reply_make_problem(exchange, refusal));
}

enum MHD_Result reply_options(struct exchange *exchange) {
    struct MHD_Response *response = MHD_create_response_from_buffer(0, "", MHD_RESPMEM_PERSISTENT);
    if (response != NULL) MHD_add_response_header(response, "Allow", exchange->match.allow);
    return reply_queue(exchange, 204, response);
}
