/* call - one call of a client, from waiting for it to its release.
 * thread: that of its completion queue.
 * owns:   the call, its message, its id. It is released when its reply is out and the library has said
 *         how it ended, whichever comes last.
 * fails:  never: a call that cannot be made is made up for when the next one ends.
 *
 * waiting → open → replying → replied; a client that leaves is told by `is_closed` in any of the last
 * three, and nothing is sent to it. */
#ifndef GATEWAY_GRPC_CALL_H
#define GATEWAY_GRPC_CALL_H

#include "core/base/request.h"
#include "gateway/grpc/call_queue.h"

#include <grpc/byte_buffer.h>

#define CALL_METHOD_BYTES   128 /* of a method's name, with the end */
#define CALL_CLIENT_BYTES   64
#define CALL_METADATA_BYTES ((size_t)16 * 1024) /* of one call; what is more is refused */

enum call_phase {
    CALL_WAITING, /* for a client */
    CALL_OPEN,    /* its method works on it, or a pool */
    CALL_REPLYING,
    CALL_REPLIED
};

struct refused {
    enum outcome outcome;
    const char *detail; /* NULL: the outcome's title */
    uint64_t retry_after_ns;
};

struct call {
    struct call_queue *queue;
    const struct method *method;
    enum call_phase phase;
    struct event arrived, closed, replied;
    grpc_call *handle;
    gpr_timespec limit; /* the client's deadline as the library gives it */
    grpc_metadata_array metadata;
    grpc_call_details details; /* of METHOD_OTHER */
    grpc_byte_buffer *message;
    int cancelled; /* the library's word, once is_closed */
    bool is_closed;
    uint64_t arrived_ns, deadline_ns; /* deadline_ns CLOCK_NEVER: the client named none */
    struct access_grant grant;
    struct request_course course;
    struct live_request live;
    char id[CALL_ID_BYTES], client[CALL_CLIENT_BYTES]; /* client: its address, where it is wanted */

    /* An invocation's own. */
    uint32_t pool;       /* held while the call is open; GATE_NO_POOL: none was found */
    uint64_t request_id; /* the gate's name of it while a pool has it */
    uint64_t expires_ns; /* when the pool gives it up */
    struct request *answer;
    struct call *next_answered;
    struct tracked *tracked; /* of a question about a request; NULL: it asks nothing */
};

/* Makes as many calls of methods[method] wait for clients as there should be. */
void call_arm(struct call_queue *queue, size_t method);

/* Gives the call its name, once; `wanted` may be "". */
const char *call_name(struct call *call, const char *wanted);

/* "/poolgate.v1.Gateway/Invoke", as the client wrote it. */
const char *call_method(const struct call *call, char asked[CALL_METHOD_BYTES]);

/* The one answer of a call; it may be released when they return. call_reply takes the message;
 * call_refuse sends a status and trailers alone. */
void call_reply(struct call *call, grpc_byte_buffer *message);
void call_refuse(struct call *call, const struct refused *refused);
/* Packs a protobuf-c message and replies with it. */
struct ProtobufCMessage;
void call_reply_packed(struct call *call, const struct ProtobufCMessage *message);

#endif
