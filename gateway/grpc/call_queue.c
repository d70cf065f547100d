#include "gateway/grpc/call_queue.h"

#include "core/base/clock.h"
#include "gateway/grpc/call.h"

#include <assert.h>
#include <stddef.h>

/* Everything that was answered since the last wake, in order. */
static void on_wake(struct event *event, bool well) {
    assert(well);
    struct call_queue *queue = LIST_ENTRY(event, struct call_queue, wake);
    pthread_mutex_lock(&queue->lock);
    struct call *call = queue->answered;
    queue->answered = NULL;
    queue->answered_end = &queue->answered;
    pthread_mutex_unlock(&queue->lock);
    while (call != NULL) {
        struct call *next = call->next_answered; /* the call may be gone afterwards */
        call->method->answered(call);
        call = next;
    }
}

void call_queue_answered(struct call_queue *queue, struct call *call) {
    call->next_answered = NULL;
    pthread_mutex_lock(&queue->lock);
    /* Whoever finds the list empty wakes the thread; until then nobody takes it, so the call lives. */
    grpc_call *waker = queue->answered == NULL ? call->handle : NULL;
    *queue->answered_end = call;
    queue->answered_end = &call->next_answered;
    pthread_mutex_unlock(&queue->lock);
    if (waker == NULL) return;
    /* An empty batch does nothing to its call, it only posts its tag. */
    grpc_call_error error = grpc_call_start_batch(waker, NULL, 0, &queue->wake, NULL);
    assert(error == GRPC_CALL_OK);
}

static void *queue_main(void *owner) {
    struct call_queue *queue = owner;
    pthread_setname_np(pthread_self(), "grpc");
    for (;;) {
        grpc_event ready = grpc_completion_queue_next(queue->completion,
                                                      gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
        if (ready.type == GRPC_QUEUE_SHUTDOWN) return NULL;
        uint64_t woke_ns = clock_now_ns();
        struct event *event = ready.tag;
        event->happened(event, ready.success != 0);
        metrics_loop_lag(queue->front->metrics, FRONTEND_GRPC, clock_now_ns() - woke_ns);
    }
}

void call_queue_open(struct call_queue *queue, struct grpc_front *front, grpc_server *server,
                     void *const *registered) {
    *queue = (struct call_queue){
        .front = front,
        .server = server,
        .completion = grpc_completion_queue_create_for_next(NULL),
        .registered = registered,
        .wake.happened = on_wake,
        .answered_end = &queue->answered,
    };
    pthread_mutex_init(&queue->lock, NULL);
    grpc_server_register_completion_queue(server, queue->completion, NULL);
}

void call_queue_start(struct call_queue *queue) {
    for (size_t i = 0; i < METHODS; i++) call_arm(queue, i);
    int failed = pthread_create(&queue->thread, NULL, queue_main, queue);
    assert(failed == 0);
}

void call_queue_close(struct call_queue *queue) {
    grpc_completion_queue_shutdown(queue->completion);
    pthread_join(queue->thread, NULL);
    grpc_completion_queue_destroy(queue->completion);
    for (size_t i = 0; i < METHODS; i++) assert(queue->armed[i] == 0);
    assert(queue->answered == NULL);
    pthread_mutex_destroy(&queue->lock);
}
