/* What the gRPC door says: the InvokeResponse, the state of a pool, the names of calls and clients. */
#include "core/base/clock.h"
#include "gateway/grpc/connections.h"
#include "gateway/grpc/invoke_response.h"
#include "gateway/grpc/open_calls.h"
#include "gateway/grpc/pool_state.h"

#include "tests/support/suite.h"

#include <grpc/byte_buffer_reader.h>
#include <grpc/slice.h>
#include <netinet/in.h>
#include <string.h>

/* --- InvokeResponse --- */

static Poolgate__V1__InvokeResponse *unpack(grpc_byte_buffer *buffer) {
    grpc_byte_buffer_reader reader;
    ck_assert(grpc_byte_buffer_reader_init(&reader, buffer));
    grpc_slice all = grpc_byte_buffer_reader_readall(&reader);
    Poolgate__V1__InvokeResponse *message = poolgate__v1__invoke_response__unpack(
        NULL, GRPC_SLICE_LENGTH(all), GRPC_SLICE_START_PTR(all));
    grpc_slice_unref(all);
    grpc_byte_buffer_reader_destroy(&reader);
    ck_assert_ptr_nonnull(message);
    return message;
}

static struct request *answered(size_t payload_bytes) {
    struct request *request;
    const struct request_texts texts = {.request_id = "r-1"};
    ck_assert_int_eq(request_create(&request, &texts), OK);
    ck_assert_int_eq(body_create(&request->reply.body, payload_bytes), OK);
    for (size_t i = 0; i < payload_bytes; i++)
        ck_assert_int_eq(body_append(request->reply.body, &(uint8_t){(uint8_t)(i % 251)}, 1), OK);
    ck_assert_int_eq(body_seal(request->reply.body), OK);
    request->slot = 3;
    request->attempts = 2;
    request->queue_ns = 5 * CLOCK_MS;
    request->run_ns = 7 * CLOCK_US;
    return request;
}

START_TEST(a_payload_of_any_length_arrives_and_is_not_copied) {
    static const size_t lengths[] = {1, 127, 128, 16383, 16384, 70000, BODY_MEMFD_BYTES};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        struct request *request = answered(lengths[i]);
        const uint8_t *data = body_data(request->reply.body);
        grpc_byte_buffer *buffer;
        ck_assert_int_eq(invoke_response_make(&buffer, request, "ocr"), OK);
        const grpc_slice *slices = buffer->data.raw.slice_buffer.slices;
        ck_assert_ptr_eq(GRPC_SLICE_START_PTR(slices[1]), data);
        request_free(request); /* the buffer holds the body */
        Poolgate__V1__InvokeResponse *message = unpack(buffer);
        ck_assert_uint_eq(message->payload.len, lengths[i]);
        for (size_t at = 0; at < lengths[i]; at++)
            ck_assert_uint_eq(message->payload.data[at], at % 251);
        poolgate__v1__invoke_response__free_unpacked(message, NULL);
        grpc_byte_buffer_destroy(buffer);
    }
}
END_TEST

START_TEST(everything_else_is_told_too) {
    struct request *request = answered(0);
    struct pair *pairs = malloc(2 * sizeof *pairs);
    pairs[0] = (struct pair){"page", "7"};
    pairs[1] = (struct pair){"lang", "de"};
    request->reply.metadata = pairs;
    request->reply.metadata_count = 2;
    grpc_byte_buffer *buffer;
    ck_assert_int_eq(invoke_response_make(&buffer, request, "ocr"), OK);
    Poolgate__V1__InvokeResponse *message = unpack(buffer);
    ck_assert_uint_eq(message->payload.len, 0);
    ck_assert_str_eq(message->content_type, "application/octet-stream");
    ck_assert_str_eq(message->request_id, "r-1");
    ck_assert_str_eq(message->slot, "ocr/3");
    ck_assert_uint_eq(message->timing->queue_us, 5000);
    ck_assert_uint_eq(message->timing->run_us, 7);
    ck_assert_uint_eq(message->timing->attempts, 2);
    ck_assert_uint_eq(message->n_metadata, 2);
    ck_assert_str_eq(message->metadata[1]->key, "lang");
    ck_assert_str_eq(message->metadata[1]->value, "de");
    poolgate__v1__invoke_response__free_unpacked(message, NULL);
    grpc_byte_buffer_destroy(buffer);
    request_free(request);
}
END_TEST

/* --- PoolState --- */

START_TEST(a_pools_state_names_every_state_and_priority) {
    static struct pool_state state;
    struct pool_snapshot pool = {.name = "ocr",
                                 .capability = "vision",
                                 .slots_min = 1,
                                 .slots_max = 4,
                                 .waiting = 9,
                                 .expected_wait_ns = 1500 * CLOCK_US};
    pool.by_state[WORKER_IDLE] = 2;
    pool.by_priority[PRIORITY_LOW] = 5;
    pool_state_fill(&state, &pool, 0);
    ck_assert_str_eq(state.message.name, "ocr");
    ck_assert_str_eq(state.message.health, "healthy");
    ck_assert_uint_eq(state.message.slots->n_by_state, WORKER_STATE_COUNT);
    ck_assert_str_eq(state.message.slots->by_state[WORKER_IDLE]->key, "idle");
    ck_assert_uint_eq(state.message.slots->by_state[WORKER_IDLE]->value, 2);
    ck_assert_str_eq(state.message.queue->by_priority[PRIORITY_LOW]->key, "low");
    ck_assert_uint_eq(state.message.queue->by_priority[PRIORITY_LOW]->value, 5);
    ck_assert_uint_eq(state.message.queue->waiting, 9);
    ck_assert_double_eq(state.message.queue->expected_wait_ms, 1.5);
}
END_TEST

/* --- open calls --- */

START_TEST(no_two_open_calls_share_an_id) {
    struct open_calls calls;
    struct live_requests live;
    struct live_request first = {0}, second = {0};
    char id[CALL_ID_BYTES], other[CALL_ID_BYTES];
    ck_assert_int_eq(live_requests_open(&live, 64), OK);
    open_calls_open(&calls, &live);
    open_calls_enter(&calls);
    open_calls_enter(&calls);
    open_calls_name(&calls, &first, "mine", id);
    open_calls_name(&calls, &second, "mine", other);
    ck_assert_str_eq(id, "mine");
    ck_assert_uint_eq(strlen(other), REQUEST_ID_FRESH_BYTES - 1);
    open_calls_leave(&calls, &first);
    open_calls_leave(&calls, &second);
    open_calls_enter(&calls);
    open_calls_name(&calls, &second, "mine", other);
    ck_assert_str_eq(other, "mine"); /* free again */
    open_calls_leave(&calls, &second);
    open_calls_close(&calls);
    live_requests_close(&live);
}
END_TEST

START_TEST(the_end_is_waited_for_but_not_for_ever) {
    struct open_calls calls;
    struct live_requests live;
    struct live_request none = {0};
    ck_assert_int_eq(live_requests_open(&live, 64), OK);
    open_calls_open(&calls, &live);
    open_calls_enter(&calls);
    uint64_t soon_ns = clock_now_ns() + 10 * CLOCK_MS;
    ck_assert(!open_calls_wait(&calls, END_OF_CALLS, soon_ns));
    ck_assert_uint_ge(clock_now_ns(), soon_ns);
    open_calls_leave(&calls, &none);
    ck_assert(open_calls_wait(&calls, END_OF_CALLS, 0));
    ck_assert(!open_calls_wait(&calls, END_OF_SERVER, 0));
    open_calls_server_down(&calls);
    ck_assert(open_calls_wait(&calls, END_OF_SERVER, 0));
    open_calls_close(&calls);
    live_requests_close(&live);
}
END_TEST

/* --- connections --- */

START_TEST(a_descriptor_names_its_latest_client) {
    struct connections connections;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(5000)};
    struct sockaddr_in6 six = {
        .sin6_family = AF_INET6, .sin6_port = htons(6000), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    char text[64];
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    struct edge_client one = {.address = address_of((struct sockaddr *)&address)},
                       two = {.address = address_of((struct sockaddr *)&six),
                              .room = EDGE_ROOM_PROBES};
    connections_open(&connections);
    struct connection *first = connections_add(&connections, &one, 700);
    connections_address(&connections, 700, text, sizeof text);
    ck_assert_str_eq(text, "127.0.0.1:5000");
    struct connection *second = connections_add(&connections, &two, 700);
    connections_remove(&connections, first); /* the server had closed its descriptor before */
    connections_address(&connections, 700, text, sizeof text);
    ck_assert_str_eq(text, "[::1]:6000");
    ck_assert_uint_eq(connections_probes(&connections), 1);
    ck_assert(connections_is_probe(&connections, 700));
    ck_assert(!connections_is_probe(&connections, 701));
    connections_remove(&connections, second);
    connections_address(&connections, 700, text, sizeof text);
    ck_assert_str_eq(text, "");
    connections_address(&connections, -1, text, sizeof text);
    ck_assert_str_eq(text, "");
    ck_assert_ptr_null(connections_first(&connections));
    connections_close(&connections);
}
END_TEST

SUITE("gateway/grpc/answers", 30, a_payload_of_any_length_arrives_and_is_not_copied,
      everything_else_is_told_too, a_pools_state_names_every_state_and_priority,
      no_two_open_calls_share_an_id, the_end_is_waited_for_but_not_for_ever,
      a_descriptor_names_its_latest_client)
