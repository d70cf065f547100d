#include "gateway/grpc/credentials.h"

#include "core/base/clock.h"
#include "gateway/grpc/call.h"
#include "gateway/grpc/door.h"

enum outcome credentials_decide(struct call *call) {
    struct grpc_front *front = call->queue->front;
    char client[DOOR_ADDRESS_BYTES] = "";
    struct access_ask ask = {.need = call->method->need,
                             .now_ns = call->arrived_ns,
                             .wall_s = clock_wall_ns(call->arrived_ns) / CLOCK_S};
    for (size_t i = 0; i < call->metadata.count; i++) {
        const grpc_metadata *pair = &call->metadata.metadata[i];
        if (grpc_slice_str_cmp(pair->key, "authorization") != 0) continue;
        ask.credentials_count++;
        ask.credentials = (const char *)GRPC_SLICE_START_PTR(pair->value);
        ask.credentials_bytes = GRPC_SLICE_LENGTH(pair->value);
    }
    if (ask.credentials_count > 0 && access_has_keys(front->access)) {
        door_client(front->door, call->handle, client);
        ask.address = failures_address_of_text(client);
    }
    access_decide(front->access, &ask, &call->grant);
    return call->grant.outcome;
}
