/* grpc_echo PORT THREADS - a unary gRPC service that answers with the message it was sent, on gRPC's C
 * core, without a pool behind it: the upstream of nginx's grpc_pass.
 *
 * thread: THREADS, each with a completion queue of its own.
 * owns:   a call from its arming to the end of its reply.
 * fails:  exits with 1 when the port cannot be had. */
#define _GNU_SOURCE
#include <grpc/byte_buffer.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/support/time.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define METHOD      "/poolgate.v1.Gateway/Invoke"
#define MAX_THREADS 16
#define ARMED       128 /* calls that wait for a client, per thread */

enum phase { WAITING, REPLYING };

struct call {
    enum phase phase;
    grpc_call *handle;
    gpr_timespec deadline;
    grpc_metadata_array metadata;
    grpc_byte_buffer *message;
    int is_cancelled;
};

struct lane {
    grpc_server *server;
    void *method;
    grpc_completion_queue *queue;
    pthread_t thread;
};

static void arm(struct lane *lane) {
    struct call *call = calloc(1, sizeof *call);
    if (call == NULL) abort();
    grpc_metadata_array_init(&call->metadata);
    if (grpc_server_request_registered_call(lane->server, lane->method, &call->handle,
                                            &call->deadline, &call->metadata, &call->message,
                                            lane->queue, lane->queue, call) != GRPC_CALL_OK)
        abort();
}

static void reply(struct call *call) {
    grpc_op ops[4];
    memset(ops, 0, sizeof ops);
    ops[0].op = GRPC_OP_SEND_INITIAL_METADATA;
    ops[1].op = GRPC_OP_SEND_MESSAGE;
    ops[1].data.send_message.send_message = call->message;
    ops[2].op = GRPC_OP_SEND_STATUS_FROM_SERVER;
    ops[2].data.send_status_from_server.status = GRPC_STATUS_OK;
    ops[3].op = GRPC_OP_RECV_CLOSE_ON_SERVER;
    ops[3].data.recv_close_on_server.cancelled = &call->is_cancelled;
    call->phase = REPLYING;
    if (grpc_call_start_batch(call->handle, ops, 4, call, NULL) != GRPC_CALL_OK) abort();
}

static void release(struct call *call) {
    if (call->message != NULL) grpc_byte_buffer_destroy(call->message);
    grpc_metadata_array_destroy(&call->metadata);
    grpc_call_unref(call->handle);
    free(call);
}

static void *serve(void *argument) {
    struct lane *lane = argument;
    for (int i = 0; i < ARMED; i++) arm(lane);
    for (;;) {
        grpc_event event =
            grpc_completion_queue_next(lane->queue, gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
        if (event.type != GRPC_OP_COMPLETE) return NULL;
        struct call *call = event.tag;
        if (call->phase == REPLYING) {
            release(call);
            continue;
        }
        arm(lane);
        if (call->message != NULL)
            reply(call);
        else
            release(call); /* the client left before its message was whole */
    }
}

int main(int argc, char **argv) {
    long threads = argc == 3 ? strtol(argv[2], NULL, 10) : 0;
    if (threads < 1 || threads > MAX_THREADS) {
        fprintf(stderr, "usage: grpc_echo PORT THREADS\n");
        return 2;
    }
    static struct lane lanes[MAX_THREADS];
    grpc_init();
    grpc_server *server = grpc_server_create(NULL, NULL);
    void *method = grpc_server_register_method(server, METHOD, NULL,
                                               GRPC_SRM_PAYLOAD_READ_INITIAL_BYTE_BUFFER, 0);
    for (long i = 0; i < threads; i++) {
        grpc_completion_queue *queue = grpc_completion_queue_create_for_next(NULL);
        grpc_server_register_completion_queue(server, queue, NULL);
        lanes[i] = (struct lane){.server = server, .method = method, .queue = queue};
    }
    char address[64];
    snprintf(address, sizeof address, "127.0.0.1:%s", argv[1]);
    grpc_server_credentials *plain = grpc_insecure_server_credentials_create();
    if (grpc_server_add_http2_port(server, address, plain) == 0) return 1;
    grpc_server_start(server);
    for (long i = 0; i < threads; i++)
        if (pthread_create(&lanes[i].thread, NULL, serve, &lanes[i]) != 0) return 1;
    for (long i = 0; i < threads; i++) pthread_join(lanes[i].thread, NULL);
    return 0;
}
