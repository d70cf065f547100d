#include "gateway/http/exchange_record.h"

#include "core/base/clock.h"

void exchange_record_ended(const struct exchange *exchange) {
    const struct observer *observer = exchange->front->observer;
    bool probe = exchange->handler != NULL && exchange->handler->probe;
    char client[ADDRESS_TEXT_BYTES] = "";
    if (observer_reads(observer, &exchange->course, probe))
        address_write(&exchange->address, client);
    const struct request_record record = {
        .frontend = FRONTEND_HTTP,
        .outcome = exchange_outcome(exchange),
        .probe = probe,
        .method = exchange->method,
        .route = exchange->match.path,
        .target = exchange->target,
        .request_id = exchange->live.id,
        .client = client,
        .arrived_ns = exchange->arrived_ns,
        .ended_ns = clock_now_ns(),
        .course = &exchange->course,
    };
    observer_ended(observer, &record);
}
