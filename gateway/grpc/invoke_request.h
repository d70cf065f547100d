/* invoke_request - what an InvokeRequest says, checked; its payload is only located.
 * thread: any; pure.
 * owns:   the page that its texts lie on: they live as long as the struct, which must not be moved.
 * fails:  INVALID_REQUEST, and flaw says why. */
#ifndef GATEWAY_GRPC_INVOKE_REQUEST_H
#define GATEWAY_GRPC_INVOKE_REQUEST_H

#include "core/base/request.h"
#include "gateway/grpc/message.h"

#define INVOKE_METADATA_PAIRS 32

struct invoke_request {
    const char *pool, *content_type, *tenant, *batch_key, *operation,
        *request_id; /* "": not given */
    enum priority priority;
    struct pair metadata[INVOKE_METADATA_PAIRS]; /* every name once */
    size_t metadata_count;
    struct message_extent payload;
    const char *flaw;
    struct message_page page;
};

enum outcome invoke_request_read(struct invoke_request *request, const grpc_byte_buffer *buffer);

#endif
