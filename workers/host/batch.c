#include "workers/host/batch.h"

#include "workers/host/call.h"

#include <stdatomic.h>
#include <stdlib.h>

enum outcome batch_open(struct batch *batch, size_t room) {
    *batch = (struct batch){.room = room};
    batch->calls = calloc(room, sizeof(struct call *));
    batch->answers = calloc(room, sizeof *batch->answers);
    batch->requests = calloc(room, sizeof *batch->requests);
    batch->replies = calloc(room, sizeof *batch->replies);
    if (batch->calls != NULL && batch->answers != NULL && batch->requests != NULL &&
        batch->replies != NULL)
        return OK;
    batch_close(batch);
    return MEMORY_EXHAUSTED;
}

void batch_close(struct batch *batch) {
    free(batch->calls);
    free(batch->answers);
    free(batch->requests);
    free(batch->replies);
    *batch = (struct batch){0};
}

void batch_begin(struct batch *batch, size_t count, struct link *link, uint64_t max_reply_bytes) {
    batch->count = count;
    batch->live = 0;
    for (size_t i = 0; i < count; i++) {
        const struct call *call = batch->calls[i];
        answer_begin(&batch->answers[i], link, call, max_reply_bytes);
        if (atomic_load(&call->cancelled)) continue; /* it never begins */
        batch->requests[batch->live] = call->request;
        batch->replies[batch->live++] = batch->answers[i].reply;
    }
}

void batch_handle(struct batch *batch, const struct poolgate_worker *plugin, void *state) {
    bool together = plugin->handle_batch != NULL && (batch->live > 1 || plugin->handle == NULL);
    if (together && batch->live > 0)
        plugin->handle_batch(state, batch->requests, batch->replies, batch->live);
    for (size_t i = 0; !together && i < batch->live; i++)
        plugin->handle(state, &batch->requests[i], &batch->replies[i]);
}

bool batch_answer(struct batch *batch) {
    bool answered = true;
    for (size_t i = 0; i < batch->count; i++)
        answered = answer_finish(&batch->answers[i]) && answered;
    return answered;
}

void batch_end(struct batch *batch) {
    for (size_t i = 0; i < batch->count; i++) call_free(batch->calls[i]);
    batch->count = batch->live = 0;
}
