#include "gateway/grpc/call_record.h"

#include "core/base/clock.h"
#include "gateway/grpc/door.h"
#include "gateway/status_map.h"

#include <string.h>

_Static_assert(CALL_CLIENT_BYTES == DOOR_ADDRESS_BYTES, "a call keeps what the door says");

/* The first that the client sent, whatever it is; "" if there is none. */
static const char *traceparent_of(const struct call *call, char out[TRACEPARENT_LONGEST]) {
    out[0] = '\0';
    for (size_t i = 0; i < call->metadata.count; i++) {
        const grpc_metadata *pair = &call->metadata.metadata[i];
        size_t bytes = GRPC_SLICE_LENGTH(pair->value);
        if (grpc_slice_str_cmp(pair->key, "traceparent") != 0) continue;
        if (bytes >= TRACEPARENT_LONGEST) return "";
        memcpy(out, GRPC_SLICE_START_PTR(pair->value), bytes);
        out[bytes] = '\0';
        break;
    }
    return out;
}

/* Who it is must be asked now: when the call has ended another client may have its descriptor. */
void call_record_began(struct call *call) {
    const struct grpc_front *front = call->queue->front;
    char traceparent[TRACEPARENT_LONGEST];
    observer_began(front->observer, traceparent_of(call, traceparent), &call->course);
    if (call->message != NULL) call->course.bytes_in = grpc_byte_buffer_length(call->message);
    if (observer_reads(front->observer, &call->course, call->method->probe))
        door_client(front->door, call->handle, call->client);
}

void call_record_answered(struct call *call, enum outcome outcome, size_t bytes) {
    bool missed = outcome == OK && call->is_closed; /* nobody is there to have it */
    call->course.outcome = missed ? CANCELLED : outcome;
    call->course.status = status_of(call->course.outcome)->grpc;
    call->course.bytes_out = call->is_closed ? 0 : bytes;
}

void call_record_ended(const struct call *call) {
    char asked[CALL_METHOD_BYTES];
    const char *method = call_method(call, asked);
    const struct request_record record = {
        .frontend = FRONTEND_GRPC,
        .outcome = call->course.outcome,
        .probe = call->method->probe,
        .method = method[0] == '/' ? method + 1 : method,
        .request_id = call->live.id,
        .client = call->client,
        .arrived_ns = call->arrived_ns,
        .ended_ns = clock_now_ns(),
        .course = &call->course,
    };
    observer_ended(call->queue->front->observer, &record);
}
