#include "gateway/grpc/invoke_response.h"

#include "core/base/clock.h"
#include "protos/gateway.pb-c.h"

#include <assert.h>
#include <grpc/slice.h>
#include <inttypes.h>
#include <stdio.h>

#define DEFAULT_CONTENT_TYPE "application/octet-stream"
#define METADATA_PAIRS       64   /* more than a worker's reply can have */
#define SLOT_BYTES           80   /* a pool's name has at most 63 characters */
#define PAYLOAD_TAG          0x0a /* field 1, length and bytes */

typedef Poolgate__V1__InvokeResponse__MetadataEntry Entry;

/* Everything but the payload: protobuf lets fields come in any order, so it goes last. */
static grpc_slice pack_rest(const struct request *request, const char *pool) {
    const struct reply *reply = &request->reply;
    Poolgate__V1__InvokeResponse rest = POOLGATE__V1__INVOKE_RESPONSE__INIT;
    Poolgate__V1__Timing timing = POOLGATE__V1__TIMING__INIT;
    Entry entries[METADATA_PAIRS], *pointers[METADATA_PAIRS];
    char slot[SLOT_BYTES] = "";
    bool typed = reply->content_type != NULL && reply->content_type[0] != '\0';
    assert(reply->metadata_count <= METADATA_PAIRS);
    for (size_t i = 0; i < reply->metadata_count; i++) {
        entries[i] = (Entry)POOLGATE__V1__INVOKE_RESPONSE__METADATA_ENTRY__INIT;
        entries[i].key = (char *)reply->metadata[i].name;
        entries[i].value = (char *)reply->metadata[i].value;
        pointers[i] = &entries[i];
    }
    if (request->slot != REQUEST_NO_SLOT)
        snprintf(slot, sizeof slot, "%s/%" PRIu32, pool, request->slot);
    timing.queue_us = request->queue_ns / CLOCK_US;
    timing.cold_us = request->cold_ns / CLOCK_US;
    timing.run_us = request->run_ns / CLOCK_US;
    timing.attempts = request->attempts;
    rest.content_type = typed ? reply->content_type : (char *)DEFAULT_CONTENT_TYPE;
    rest.metadata = pointers;
    rest.n_metadata = reply->metadata_count;
    rest.request_id = (char *)request->request_id;
    rest.timing = &timing;
    rest.slot = slot;
    grpc_slice slice = grpc_slice_malloc(poolgate__v1__invoke_response__get_packed_size(&rest));
    poolgate__v1__invoke_response__pack(&rest, GRPC_SLICE_START_PTR(slice));
    return slice;
}

static grpc_slice pack_payload_head(size_t payload_bytes) {
    uint8_t head[11] = {PAYLOAD_TAG};
    size_t used = 1;
    for (; payload_bytes >= 0x80; payload_bytes >>= 7)
        head[used++] = (uint8_t)(payload_bytes | 0x80);
    head[used++] = (uint8_t)payload_bytes;
    return grpc_slice_from_copied_buffer((const char *)head, used);
}

static void on_sent(void *body) {
    body_unref(body);
}

enum outcome invoke_response_make(grpc_byte_buffer **out, const struct request *request,
                                  const char *pool) {
    struct body *body = request->reply.body;
    grpc_slice slices[3];
    size_t count = 0;
    *out = NULL;
    if (body->bytes > 0) {
        const uint8_t *data = body_data(body);
        if (data == NULL) return MEMORY_EXHAUSTED;
        slices[count++] = pack_payload_head(body->bytes);
        slices[count++] = grpc_slice_new_with_user_data((void *)(uintptr_t)data, body->bytes,
                                                        on_sent, body_ref(body));
    }
    slices[count++] = pack_rest(request, pool);
    *out = grpc_raw_byte_buffer_create(slices, count);
    for (size_t i = 0; i < count; i++) grpc_slice_unref(slices[i]);
    return OK;
}
