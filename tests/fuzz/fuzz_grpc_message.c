/* gRPC messages: read the same wherever the slices are cut, and what is accepted has the pool that
 * protobuf-c finds. */
#include "gateway/grpc/invoke_request.h"
#include "gateway/text_rules.h"
#include "protos/gateway.pb-c.h"
#include "tests/fuzz/fuzz.h"

#include <grpc/byte_buffer.h>
#include <grpc/slice.h>

#define SLICES 64

static grpc_byte_buffer *cut(const uint8_t *data, size_t size, uint64_t *chance) {
    grpc_slice slices[SLICES];
    size_t used = 0;
    for (size_t at = 0, piece; at < size; at += piece) {
        piece = size - at;
        if (chance != NULL && used < SLICES - 1) piece = 1 + chance_below(chance, piece);
        slices[used++] = grpc_slice_from_copied_buffer((const char *)data + at, piece);
    }
    grpc_byte_buffer *buffer = grpc_raw_byte_buffer_create(slices, used);
    for (size_t i = 0; i < used; i++) grpc_slice_unref(slices[i]);
    return buffer;
}

static void check_texts(const struct invoke_request *request) {
    const char *const texts[] = {request->pool,      request->content_type, request->tenant,
                                 request->batch_key, request->operation,    request->request_id};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        must(text_valid(texts[i], strlen(texts[i])));
    for (size_t i = 0; i < request->metadata_count; i++) {
        const struct pair *pair = &request->metadata[i];
        must(text_flaw(TEXT_METADATA_NAME, pair->name, strlen(pair->name)) == NULL);
        must(text_flaw(TEXT_METADATA_VALUE, pair->value, strlen(pair->value)) == NULL);
    }
}

struct sum {
    const uint8_t *wanted;
    size_t bytes;
};

static enum outcome compare(void *owner, const uint8_t *data, size_t bytes) {
    struct sum *sum = owner;
    must(memcmp(sum->wanted + sum->bytes, data, bytes) == 0);
    sum->bytes += bytes;
    return OK;
}

static void check_payload(const struct invoke_request *request, const grpc_byte_buffer *buffer,
                          const uint8_t *data, size_t size) {
    must(request->payload.offset <= size &&
         request->payload.bytes <= size - request->payload.offset);
    struct sum sum = {.wanted = data + request->payload.offset};
    must(message_pieces(buffer, request->payload, compare, &sum) == OK);
    must(sum.bytes == request->payload.bytes);
}

static void check_pool(const struct invoke_request *request, const uint8_t *data, size_t size) {
    Poolgate__V1__InvokeRequest *message = poolgate__v1__invoke_request__unpack(NULL, size, data);
    if (message == NULL) return;
    must(strcmp(message->pool, request->pool) == 0);
    must(message->payload.len == request->payload.bytes);
    poolgate__v1__invoke_request__free_unpacked(message, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct invoke_request whole, pieces;
    static struct message_page page, other;
    uint64_t chance = chance_of(data, size);
    grpc_byte_buffer *one = cut(data, size, NULL), *many = cut(data, size, &chance);
    const enum outcome outcome = invoke_request_read(&whole, one);
    must(invoke_request_read(&pieces, many) == outcome);
    if (outcome == OK) {
        check_texts(&whole);
        check_payload(&whole, one, data, size);
        check_payload(&pieces, many, data, size);
        check_pool(&whole, data, size);
        must(strcmp(whole.pool, pieces.pool) == 0 && whole.priority == pieces.priority);
        must(whole.metadata_count == pieces.metadata_count);
    } else {
        must(whole.flaw != NULL && whole.flaw == pieces.flaw);
    }
    const char *flaw = NULL, *other_flaw = NULL;
    const char *text = message_only_text(one, &page, TEXT_SERVICE, &flaw);
    const char *same = message_only_text(many, &other, TEXT_SERVICE, &other_flaw);
    must((text == NULL) == (same == NULL) && (text == NULL || strcmp(text, same) == 0));
    must(text != NULL || (flaw != NULL && flaw == other_flaw));
    grpc_byte_buffer_destroy(one);
    grpc_byte_buffer_destroy(many);
    return 0;
}
