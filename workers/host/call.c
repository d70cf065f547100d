#include "workers/host/call.h"

#include "core/transport/envelope.h"

#include <stdlib.h>
#include <unistd.h>

struct poolgate_pair *call_pairs(Poolgate__Worker__V1__Pair *const *pairs, size_t count) {
    struct poolgate_pair *view = calloc(count + 1, sizeof *view);
    if (view == NULL) return NULL;
    for (size_t i = 0; i < count; i++)
        view[i] = (struct poolgate_pair){.name = pairs[i]->name, .value = pairs[i]->value};
    return view;
}

struct call *call_make(enum call_kind kind, uint64_t id, size_t room_bytes) {
    struct call *call = malloc(sizeof *call + room_bytes);
    if (call == NULL) return NULL;
    *call = (struct call){
        .kind = kind,
        .id = id,
        .request = {.request_id = "", .content_type = "", .operation = "", .traceparent = ""}};
    return call;
}

void *call_room(struct call *call) {
    _Static_assert(sizeof(struct call) % _Alignof(struct poolgate_pair) == 0, "room is aligned");
    return call + 1;
}

enum outcome call_adopt_memfd(struct call *call, int *memfd, size_t bytes) {
    enum outcome outcome = body_from_memfd(&call->body, *memfd, bytes);
    if (outcome != OK) return outcome;
    *memfd = -1;
    call->request.body = body_data(call->body);
    call->request.body_bytes = bytes;
    return call->request.body != NULL ? OK : MEMORY_EXHAUSTED;
}

static enum outcome adopt_body(struct call *call, struct link_frame *frame) {
    if (frame->memfd < 0) {
        call->request.body = call->payload = frame->payload;
        call->request.body_bytes = frame->payload_bytes;
        frame->payload = NULL;
        return OK;
    }
    return call_adopt_memfd(call, &frame->memfd, frame->payload_bytes);
}

static enum outcome adopt_envelope(struct call *call, const struct link_frame *frame) {
    ProtobufCMessage *message;
    enum outcome outcome =
        envelope_unpack(frame->type, frame->envelope, frame->envelope_bytes, &message);
    if (outcome != OK) return outcome;
    Poolgate__Worker__V1__Request *envelope = (Poolgate__Worker__V1__Request *)message;
    call->envelope = envelope;
    call->id = envelope->id;
    if (call->id == 0) return INVALID_REQUEST;
    call->batch_more = envelope->batch_more;
    call->request.request_id = envelope->request_id;
    call->request.content_type = envelope->content_type;
    call->request.operation = envelope->operation;
    call->request.traceparent = envelope->traceparent;
    call->request.timeout_ns = envelope->timeout_ns;
    call->metadata = call_pairs(envelope->metadata, envelope->n_metadata);
    call->request.metadata = call->metadata;
    call->request.metadata_count = envelope->n_metadata;
    return call->metadata != NULL ? OK : MEMORY_EXHAUSTED;
}

enum outcome call_create(struct call **out, struct link_frame *frame, uint64_t *id) {
    *out = NULL;
    *id = 0;
    struct call *call = call_make(CALL_REQUEST, 0, 0);
    enum outcome outcome = call != NULL ? adopt_envelope(call, frame) : MEMORY_EXHAUSTED;
    if (call != NULL) *id = call->id;
    if (outcome == OK) outcome = adopt_body(call, frame);
    link_frame_free(frame);
    if (outcome == OK)
        *out = call;
    else
        call_free(call);
    return outcome;
}

void call_free(struct call *call) {
    if (call == NULL) return;
    if (call->envelope != NULL) envelope_free(&call->envelope->base);
    free(call->metadata);
    free(call->payload);
    body_unref(call->body);
    free(call);
}
