/* tracking - the handlers of one request by its id: where it is, or what became of it; stop it. Whichever door it
 * came through; another tenant's is not there. */
#include "gateway/http/handlers.h"

#include "gateway/http/inquiry.h"
#include "gateway/http/reply.h"
#include "gateway/http/request_state.h"

typedef enum outcome ask_fn(struct gate *gate, struct look *look);

static enum MHD_Result ask(struct exchange *exchange, ask_fn *gate_ask) {
    struct inquiry *inquiry = inquiry_begin(exchange);
    if (inquiry == NULL) return reply_problem(exchange, &exchange->refusal);
    inquiry->look.name = exchange->match.id;
    inquiry->look.id = live_requests_find(exchange->front->live, exchange->match.id);
    inquiry->look.for_tenant = access_sees_only(&exchange->grant);
    return inquiry_wait(exchange, gate_ask(exchange->front->gate, &inquiry->look));
}

static enum MHD_Result on_look(struct exchange *exchange) {
    return ask(exchange, gate_look);
}

static enum MHD_Result on_cancel(struct exchange *exchange) {
    return ask(exchange, gate_stop);
}

static enum MHD_Result on_answered(struct exchange *exchange) {
    const struct look *look = &exchange->inquiry->look;
    if (look->question.outcome != OK) return inquiry_refuse(exchange, NULL);
    return reply_json(exchange, 200, request_state(look));
}

const struct handler handler_request = {.complete = on_look, .answered = on_answered};
const struct handler handler_cancel = {.complete = on_cancel, .answered = on_answered};
