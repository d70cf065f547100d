/* quarantine - the handlers of requests that killed too many workers: who they are, once more, away with them. */
#include "gateway/http/handlers.h"

#include "gateway/http/inquiry.h"
#include "gateway/http/reply.h"
#include "gateway/http/request_state.h"

#include <stdio.h>
#include <stdlib.h>

#define PAGE_MOST    256
#define PAGE_DEFAULT 64

/* Decimal digits, at most `most`; false: it is something else. */
static bool read_number(const char *text, uint64_t most, uint64_t *out) {
    uint64_t value = 0;
    if (*text == '\0') return false;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9' || value > most / 10) return false;
        value = value * 10 + (uint64_t)(*text - '0');
        if (value > most) return false;
    }
    *out = value;
    return true;
}

/* --- the list --- */

static bool read_page(struct exchange *exchange, struct buried_list *list) {
    struct MHD_Connection *connection = exchange->connection;
    const char *after = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "after");
    const char *limit = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "limit");
    uint64_t room = PAGE_DEFAULT;
    list->pool = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "pool");
    if (after != NULL && !read_number(after, INT64_MAX, &list->after)) {
        exchange_refuse(exchange, INVALID_REQUEST, "after is not the id of a buried request");
        return false;
    }
    if (limit != NULL && (!read_number(limit, PAGE_MOST, &room) || room == 0)) {
        exchange_refuse(exchange, INVALID_REQUEST, "limit is not a whole number from 1 to 256");
        return false;
    }
    list->room = room;
    return true;
}

static enum MHD_Result on_list(struct exchange *exchange) {
    struct inquiry *inquiry = inquiry_begin(exchange);
    if (inquiry == NULL || !read_page(exchange, &inquiry->list))
        return reply_problem(exchange, &exchange->refusal);
    inquiry->buried = calloc(inquiry->list.room, sizeof *inquiry->buried);
    if (inquiry->buried == NULL) return inquiry_wait(exchange, MEMORY_EXHAUSTED);
    inquiry->list.items = inquiry->buried;
    return inquiry_wait(exchange, gate_quarantine_list(exchange->front->gate, &inquiry->list));
}

static enum MHD_Result on_listed(struct exchange *exchange) {
    return reply_json(exchange, 200, request_state_buried(&exchange->inquiry->list));
}

/* --- one of them --- */

static bool name_grave(struct exchange *exchange, const char *what) {
    struct inquiry *inquiry = inquiry_begin(exchange);
    if (inquiry == NULL) return false;
    if (!read_number(exchange->match.id, INT64_MAX, &inquiry->grave.number)) {
        exchange_refuse(exchange, NO_SUCH_REQUEST, NULL);
        return false;
    }
    inquiry_explain(exchange, what);
    inquiry->grave.why = inquiry->why;
    return true;
}

static enum MHD_Result on_delete(struct exchange *exchange) {
    if (!name_grave(exchange, "delete")) return reply_problem(exchange, &exchange->refusal);
    return inquiry_wait(exchange,
                        gate_quarantine_delete(exchange->front->gate, &exchange->inquiry->grave));
}

static enum MHD_Result on_deleted(struct exchange *exchange) {
    if (exchange->inquiry->question.outcome != OK) return inquiry_refuse(exchange, NULL);
    return reply_queue(exchange, 204,
                       MHD_create_response_from_buffer(0, "", MHD_RESPMEM_PERSISTENT));
}

static enum MHD_Result on_kick(struct exchange *exchange) {
    struct front *front = exchange->front;
    if (!name_grave(exchange, "kick")) return reply_problem(exchange, &exchange->refusal);
    struct inquiry *inquiry = exchange->inquiry;
    request_id_fresh(&front->ids, inquiry->fresh_id);
    inquiry->grave.request_id = inquiry->fresh_id;
    return inquiry_wait(exchange, gate_quarantine_kick(front->gate, &inquiry->grave));
}

static const char *why_not_kicked(enum outcome outcome) {
    if (outcome == ALREADY_EXISTS) return "it runs again already";
    if (outcome == PAYLOAD_TOO_LARGE) return "its body was too large to be kept";
    return NULL;
}

static enum MHD_Result on_kicked(struct exchange *exchange) {
    struct inquiry *inquiry = exchange->inquiry;
    if (inquiry->question.outcome != OK)
        return inquiry_refuse(exchange, why_not_kicked(inquiry->question.outcome));
    char place[sizeof "/v1/requests/" + REQUEST_ID_FRESH_BYTES];
    char text[sizeof "{\"request_id\":\"\"}" + REQUEST_ID_FRESH_BYTES];
    live_requests_watch(exchange->front->live, inquiry->fresh_id, inquiry->grave.id);
    snprintf(place, sizeof place, "/v1/requests/%s", inquiry->fresh_id);
    int bytes = snprintf(text, sizeof text, "{\"request_id\":\"%s\"}", inquiry->fresh_id);
    struct MHD_Response *response =
        MHD_create_response_from_buffer((size_t)bytes, text, MHD_RESPMEM_MUST_COPY);
    if (response != NULL) {
        MHD_add_response_header(response, "Content-Type", "application/json");
        MHD_add_response_header(response, "Cache-Control", "no-store");
        MHD_add_response_header(response, "Location", place);
    }
    return reply_queue(exchange, 202, response);
}

const struct handler handler_quarantine = {.complete = on_list, .answered = on_listed};
const struct handler handler_kick = {.complete = on_kick, .answered = on_kicked};
const struct handler handler_delete = {.complete = on_delete, .answered = on_deleted};
