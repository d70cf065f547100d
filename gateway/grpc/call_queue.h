/* call_queue - one completion queue and its thread, which alone touches the calls that are bound to it.
 * thread: open and close are main's; call_queue_answered may be called from any; the rest is the
 *         thread's own.
 * owns:   the completion queue, the thread.
 * fails:  never: a thread that cannot be started ends the process. */
#ifndef GATEWAY_GRPC_CALL_QUEUE_H
#define GATEWAY_GRPC_CALL_QUEUE_H

#include "gateway/grpc/front.h"
#include "gateway/grpc/methods.h"

#include <grpc/grpc.h>
#include <pthread.h>
#include <stdbool.h>

struct call;

/* What a completion queue brings back: every tag is one of these, inside what it belongs to. */
struct event {
    void (*happened)(struct event *event, bool well);
};

struct call_queue {
    struct grpc_front *front;
    grpc_server *server;
    grpc_completion_queue *completion;
    void *const *registered; /* by the method's index */
    pthread_t thread;
    unsigned armed[METHODS]; /* calls that wait for a client */
    struct event wake;
    pthread_mutex_t lock;
    struct call *answered, **answered_end; /* what the pool has brought since the last wake */
};

/* Makes the completion queue and makes it known to the server, which has not been started. */
void call_queue_open(struct call_queue *queue, struct grpc_front *front, grpc_server *server,
                     void *const *registered);
/* The server has been started: calls are waited for. */
void call_queue_start(struct call_queue *queue);
/* Hands a call to its thread: the pool has answered it. Wakes the thread if nothing waited before. */
void call_queue_answered(struct call_queue *queue, struct call *call);
/* The server is destroyed and no call is open: ends the thread. */
void call_queue_close(struct call_queue *queue);

#endif
