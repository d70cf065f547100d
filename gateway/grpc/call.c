#include "gateway/grpc/call.h"

#include "core/base/clock.h"
#include "core/base/log.h"
#include "gateway/grpc/call_record.h"
#include "gateway/grpc/credentials.h"
#include "gateway/grpc/door.h"
#include "gateway/retry_after.h"
#include "gateway/status_map.h"

#include <assert.h>
#include <inttypes.h>
#include <protobuf-c/protobuf-c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void start_batch(struct call *call, const grpc_op *ops, size_t count, struct event *event) {
    grpc_call_error error = grpc_call_start_batch(call->handle, ops, count, event, NULL);
    assert(error == GRPC_CALL_OK);
}

/* --- the end --- */

static void call_free(struct call *call) {
    grpc_metadata_array_destroy(&call->metadata);
    if (call->method == &methods[METHOD_OTHER]) grpc_call_details_destroy(&call->details);
    if (call->message != NULL) grpc_byte_buffer_destroy(call->message);
    free(call);
}

static void release_if_done(struct call *call) {
    if (call->phase != CALL_REPLIED || !call->is_closed) return;
    assert(call->answer == NULL);
    struct call_queue *queue = call->queue;
    size_t method = (size_t)(call->method - methods);
    call_record_ended(call);
    open_calls_leave(&queue->front->calls, &call->live);
    grpc_call_unref(call->handle);
    call_free(call);
    call_arm(queue, method); /* only if memory was short when this one came */
}

static void on_closed(struct event *event, bool well) {
    assert(well); /* it always is */
    struct call *call = LIST_ENTRY(event, struct call, closed);
    call->is_closed = true;
    if (call->phase == CALL_OPEN && call->method->left != NULL) call->method->left(call);
    release_if_done(call);
}

static void on_replied(struct event *event, bool well) {
    (void)well; /* a client that left before is no fault */
    struct call *call = LIST_ENTRY(event, struct call, replied);
    call->phase = CALL_REPLIED;
    release_if_done(call);
}

/* --- the beginning --- */

static uint64_t deadline_of(const struct call *call) {
    if (gpr_time_cmp(call->limit, gpr_inf_future(call->limit.clock_type)) == 0) return CLOCK_NEVER;
    gpr_timespec left = gpr_time_sub(call->limit, gpr_now(call->limit.clock_type));
    if (left.tv_sec < 0) return call->arrived_ns;
    if ((uint64_t)left.tv_sec >= UINT64_MAX / CLOCK_S) return CLOCK_NEVER;
    return clock_add(call->arrived_ns, (uint64_t)left.tv_sec * CLOCK_S + (uint64_t)left.tv_nsec);
}

static void watch_close(struct call *call) {
    grpc_op op = {.op = GRPC_OP_RECV_CLOSE_ON_SERVER};
    op.data.recv_close_on_server.cancelled = &call->cancelled;
    start_batch(call, &op, 1, &call->closed);
}

static struct refused refusal_of(const struct access_grant *grant) {
    return (struct refused){.outcome = grant->outcome,
                            .detail = grant->detail,
                            .retry_after_ns = grant->retry_after_ns};
}

/* As HTTP/2 counts a list of fields: 32 bytes for each besides its name and value. */
static bool has_too_much_metadata(const struct call *call) {
    size_t bytes = 0;
    for (size_t i = 0; i < call->metadata.count; i++) {
        const grpc_metadata *pair = &call->metadata.metadata[i];
        bytes += GRPC_SLICE_LENGTH(pair->key) + GRPC_SLICE_LENGTH(pair->value) + 32;
    }
    return bytes > CALL_METADATA_BYTES;
}

static void begin(struct call *call) {
    struct door *door = call->queue->front->door;
    struct refused refused = {.outcome = OK};
    if (call->deadline_ns <= call->arrived_ns) {
        refused.outcome = DEADLINE_EXCEEDED;
    } else if (has_too_much_metadata(call)) {
        refused.outcome = HEADERS_TOO_LARGE;
        refused.detail =
            "the metadata is too long; allowed: 16384 bytes, each field counted with 32 more";
    } else if (!call->method->probe && door_is_full_for(door, call->handle)) {
        refused.outcome = QUEUE_FULL;
        refused.detail = "there are too many connections";
    } else if (credentials_decide(call) != OK) {
        refused = refusal_of(&call->grant);
        metrics_refused(call->queue->front->metrics, FRONTEND_GRPC, refused.outcome);
        if (call->method == &methods[METHOD_INVOKE])
            metrics_answered(call->queue->front->metrics, "", FRONTEND_GRPC, refused.outcome);
    }
    if (refused.outcome == OK)
        call->method->begin(call);
    else
        call_refuse(call, &refused);
}

static void on_arrived(struct event *event, bool well) {
    struct call *call = LIST_ENTRY(event, struct call, arrived);
    struct call_queue *queue = call->queue;
    size_t method = (size_t)(call->method - methods);
    queue->armed[method]--;
    if (!well) { /* the server stops */
        call_free(call);
        return;
    }
    call_arm(queue, method);
    if (call->method == &methods[METHOD_OTHER]) call->limit = call->details.deadline;
    call->phase = CALL_OPEN;
    call->arrived_ns = clock_now_ns();
    call->deadline_ns = deadline_of(call);
    open_calls_enter(&queue->front->calls);
    call_record_began(call);
    watch_close(call);
    begin(call);
}

static struct call *call_new(struct call_queue *queue, const struct method *method) {
    struct call *call = calloc(1, sizeof *call);
    if (call == NULL) return NULL;
    call->queue = queue;
    call->method = method;
    call->arrived.happened = on_arrived;
    call->closed.happened = on_closed;
    call->replied.happened = on_replied;
    grpc_metadata_array_init(&call->metadata);
    if (method == &methods[METHOD_OTHER]) grpc_call_details_init(&call->details);
    return call;
}

static void wait_for_client(struct call *call, void *registered) {
    struct call_queue *queue = call->queue;
    grpc_completion_queue *completion = queue->completion;
    grpc_call_error error =
        registered == NULL
            ? grpc_server_request_call(queue->server, &call->handle, &call->details,
                                       &call->metadata, completion, completion, &call->arrived)
            : grpc_server_request_registered_call(queue->server, registered, &call->handle,
                                                  &call->limit, &call->metadata, &call->message,
                                                  completion, completion, &call->arrived);
    assert(error == GRPC_CALL_OK);
}

void call_arm(struct call_queue *queue, size_t method) {
    if (atomic_load(&queue->front->stopping)) return;
    while (queue->armed[method] < methods[method].armed) {
        struct call *call = call_new(queue, &methods[method]);
        if (call == NULL) return;
        queue->armed[method]++;
        wait_for_client(call, queue->registered[method]);
    }
}

/* --- the answer --- */

const char *call_method(const struct call *call, char asked[CALL_METHOD_BYTES]) {
    if (call->method->path != NULL) return call->method->path;
    size_t bytes = GRPC_SLICE_LENGTH(call->details.method);
    if (bytes > CALL_METHOD_BYTES - 1) bytes = CALL_METHOD_BYTES - 1;
    memcpy(asked, GRPC_SLICE_START_PTR(call->details.method), bytes);
    asked[bytes] = '\0';
    return asked;
}

const char *call_name(struct call *call, const char *wanted) {
    if (call->live.id == NULL)
        open_calls_name(&call->queue->front->calls, &call->live, wanted, call->id);
    return call->id;
}

/* To a client that has left nothing is sent: its call is over. */
static bool begin_reply(struct call *call) {
    assert(call->phase == CALL_OPEN);
    call->phase = call->is_closed ? CALL_REPLIED : CALL_REPLYING;
    access_leave(&call->grant);
    return !call->is_closed;
}

void call_reply(struct call *call, grpc_byte_buffer *message) {
    call_record_answered(call, OK, grpc_byte_buffer_length(message));
    if (begin_reply(call)) {
        grpc_op ops[3] = {{.op = GRPC_OP_SEND_INITIAL_METADATA},
                          {.op = GRPC_OP_SEND_MESSAGE},
                          {.op = GRPC_OP_SEND_STATUS_FROM_SERVER}};
        ops[1].data.send_message.send_message = message;
        ops[2].data.send_status_from_server.status = GRPC_STATUS_OK;
        start_batch(call, ops, 3, &call->replied);
    }
    grpc_byte_buffer_destroy(message);
    release_if_done(call);
}

void call_reply_packed(struct call *call, const struct ProtobufCMessage *message) {
    grpc_slice slice = grpc_slice_malloc(protobuf_c_message_get_packed_size(message));
    protobuf_c_message_pack(message, GRPC_SLICE_START_PTR(slice));
    grpc_byte_buffer *buffer = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_slice_unref(slice);
    call_reply(call, buffer);
}

static void send_refusal(struct call *call, const struct refused *refused) {
    const struct status *status = status_of(refused->outcome);
    char pushback[24];
    const char *id = call_name(call, "");
    grpc_metadata trailers[3] = {
        {.key = grpc_slice_from_static_string("poolgate-code"),
         .value = grpc_slice_from_static_string(outcome_code(refused->outcome))},
        {.key = grpc_slice_from_static_string("poolgate-request-id"),
         .value = grpc_slice_from_copied_string(id)},
    };
    size_t count = 2;
    uint64_t ms = retry_after_ms(refused->outcome, refused->retry_after_ns);
    if (ms > 0) {
        snprintf(pushback, sizeof pushback, "%" PRIu64, ms);
        trailers[count].key = grpc_slice_from_static_string("grpc-retry-pushback-ms");
        trailers[count++].value = grpc_slice_from_copied_string(pushback);
    }
    bool has_detail = refused->detail != NULL && refused->detail[0] != '\0';
    grpc_slice details = grpc_slice_from_copied_string(
        has_detail ? refused->detail : outcome_title(refused->outcome));
    grpc_op ops[2] = {{.op = GRPC_OP_SEND_INITIAL_METADATA},
                      {.op = GRPC_OP_SEND_STATUS_FROM_SERVER}};
    ops[1].data.send_status_from_server.status = (grpc_status_code)status->grpc;
    ops[1].data.send_status_from_server.status_details = &details;
    ops[1].data.send_status_from_server.trailing_metadata = trailers;
    ops[1].data.send_status_from_server.trailing_metadata_count = count;
    start_batch(call, ops, 2, &call->replied);
    for (size_t i = 0; i < count; i++) grpc_slice_unref(trailers[i].value);
    grpc_slice_unref(details);
}

/* A client that talks nonsense is worth a line for whoever looks. */
static void log_refusal(const struct call *call, const struct refused *refused) {
    char client[DOOR_ADDRESS_BYTES], asked[CALL_METHOD_BYTES];
    if (refused->outcome != INVALID_REQUEST && refused->outcome != METHOD_NOT_ALLOWED &&
        refused->outcome != HEADERS_TOO_LARGE)
        return;
    door_client(call->queue->front->door, call->handle, client);
    log_event(LOG_DEBUG, "grpc call refused", LOG_STR("client", client),
              LOG_STR("method", call_method(call, asked)), LOG_STR("request_id", call->id),
              LOG_STR("code", outcome_code(refused->outcome)), LOG_STR("detail", refused->detail));
}

void call_refuse(struct call *call, const struct refused *refused) {
    call_record_answered(call, refused->outcome, 0);
    if (begin_reply(call)) {
        send_refusal(call, refused);
        log_refusal(call, refused);
    }
    release_if_done(call);
}
