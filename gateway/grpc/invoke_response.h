/* invoke_response - the InvokeResponse of an answered request; its payload is sent from where it is.
 * thread: any; pure.
 * owns:   the buffer is the caller's, and holds a reference of the reply's body.
 * fails:  MEMORY_EXHAUSTED: the body cannot be mapped. */
#ifndef GATEWAY_GRPC_INVOKE_RESPONSE_H
#define GATEWAY_GRPC_INVOKE_RESPONSE_H

#include "core/base/request.h"

#include <grpc/byte_buffer.h>

/* request: its outcome is OK. */
enum outcome invoke_response_make(grpc_byte_buffer **out, const struct request *request,
                                  const char *pool);

#endif
