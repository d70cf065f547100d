/* tracking - Gateway/GetRequest and CancelRequest: where a request is, whichever door it came through; stop it.
 * thread: that of the call; the pool's loop only posts the call to it.
 * owns:   the question of its call, from its beginning to its answer.
 * fails:  through call_refuse. */
#ifndef GATEWAY_GRPC_TRACKING_H
#define GATEWAY_GRPC_TRACKING_H

#include "core/question.h"
#include "gateway/grpc/call.h"
#include "protos/gateway.pb-c.h"

void tracking_look(struct call *call);
void tracking_cancel(struct call *call);
void tracking_answered(struct call *call);

#define TRACKED_TIME_BYTES 40
/* A look as the message RequestStatus, the twin of the JSON of /v1/requests/ID. Texts stay the look's; it must
 * not be moved once filled. */
struct request_status {
    Poolgate__V1__RequestStatus message;
    Poolgate__V1__Timing timing;
    char arrived[TRACKED_TIME_BYTES], began[TRACKED_TIME_BYTES], ended[TRACKED_TIME_BYTES];
};
void request_status_fill(struct request_status *status, struct look *look);

#endif
