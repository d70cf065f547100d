/* batch - the calls that a plug-in gets at once, as it sees them, and an answer for each.
 * thread: the compute thread's.
 * owns:   the calls from batch_begin to batch_end, which frees them.
 * fails:  batch_open: MEMORY_EXHAUSTED. batch_answer: false when an answer could not be sent; the worker
 *         is of no use then. */
#ifndef WORKERS_HOST_BATCH_H
#define WORKERS_HOST_BATCH_H

#include "core/base/outcome.h"
#include "workers/host/answer.h"

#include <poolgate/worker.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct batch {
    size_t room, count;
    struct call **calls;    /* the intake writes here */
    struct answer *answers; /* of each call */
    /* Those that were not cancelled before they began, as the plug-in sees them. */
    size_t live;
    struct poolgate_request *requests;
    struct poolgate_reply *replies;
};

enum outcome batch_open(struct batch *batch, size_t room);
void batch_close(struct batch *batch);

/* calls has count of them now. */
void batch_begin(struct batch *batch, size_t count, struct link *link, uint64_t max_reply_bytes);
/* Calls the plug-in: handle_batch for several, handle for one, if it has both. */
void batch_handle(struct batch *batch, const struct poolgate_worker *plugin, void *state);
/* Sends what is missing, so that each call has exactly one answer. */
bool batch_answer(struct batch *batch);
void batch_end(struct batch *batch);

#endif
