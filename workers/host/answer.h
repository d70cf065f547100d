/* answer - one call's reply: what a plug-in does through struct poolgate_reply, told to the gateway.
 * thread: one at a time, usually the compute thread; cancelled() from any.
 * owns:   its copies of metadata until answer_finish. The call and the link are borrowed.
 * fails:  answer_finish: false when no answer could be sent; the worker is of no use then.
 *
 * A plug-in answers by one send, one take, one fail, or any number of chunks, of which fail may be the
 * last. What comes after the answer returns -1 and goes nowhere. So does everything once the call is
 * cancelled; the gateway then gets Error CANCELLED when the plug-in returns. A reply above the limit
 * (all chunks together) or with an invalid content type becomes Error FAILED, and the call returns -1.
 * meta returns -1, and its pair is left out, when the name or value is not valid (envelope.h), after the
 * 32nd pair, and after the first byte of the reply. */
#ifndef WORKERS_HOST_ANSWER_H
#define WORKERS_HOST_ANSWER_H

#include "core/transport/envelope.h"
#include "workers/host/call.h"
#include "workers/host/link.h"

#include <poolgate/worker.h>

#include <stdbool.h>
#include <stdint.h>

enum answer_state { ANSWER_OPEN, ANSWER_STREAMING, ANSWER_ANSWERED };

struct answer {
    struct poolgate_reply reply; /* for the plug-in; its host_state is this answer */
    struct link *link;
    const struct call *call;
    uint64_t max_reply_bytes, streamed_bytes;
    enum answer_state state;
    size_t metadata_count;
    Poolgate__Worker__V1__Pair pairs[ENVELOPE_METADATA_PAIRS];
    Poolgate__Worker__V1__Pair
        *metadata[ENVELOPE_METADATA_PAIRS]; /* to pairs, as protobuf-c wants it */
};

void answer_begin(struct answer *answer, struct link *link, const struct call *call,
                  uint64_t max_reply_bytes);
/* After the plug-in returned: sends what is missing for exactly one answer. */
bool answer_finish(struct answer *answer);

/* Answers a call that no plug-in will see, on the socket's thread. */
enum outcome answer_refuse(struct link *link, uint64_t id, Poolgate__Worker__V1__ErrorKind kind,
                           const char *message);

#endif
