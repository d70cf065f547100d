/* call_record - what is known of a call for the observer, from its arrival to its release.
 * thread: that of the call.
 * owns:   nothing.
 * fails:  never. */
#ifndef GATEWAY_GRPC_CALL_RECORD_H
#define GATEWAY_GRPC_CALL_RECORD_H

#include "gateway/grpc/call.h"

/* The call and its message have come. */
void call_record_began(struct call *call);
/* It is being answered, with a message of so many bytes if the outcome is OK. */
void call_record_answered(struct call *call, enum outcome outcome, size_t bytes);
/* Once for each call that began. */
void call_record_ended(const struct call *call);

#endif
