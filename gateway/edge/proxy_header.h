/* proxy_header - the PROXY protocol, version 1 (text) and 2 (binary).
 * thread: pure.
 * owns:   nothing.
 * fails:  PROXY_HEADER_BAD; nothing is allocated.
 * source: "The PROXY protocol, versions 1 & 2", HAProxy Technologies, 2020. */
#ifndef GATEWAY_EDGE_PROXY_HEADER_H
#define GATEWAY_EDGE_PROXY_HEADER_H

#include <stddef.h>
#include <sys/socket.h>

#define PROXY_HEADER_BYTES 536 /* the longest that is accepted */

enum proxy_header_verdict { PROXY_HEADER_WHOLE, PROXY_HEADER_MORE, PROXY_HEADER_BAD };

struct proxy_header {
    size_t bytes; /* of the header; the stream begins after it */
    struct sockaddr_storage
        source; /* ss_family AF_UNSPEC: the proxy speaks for itself (LOCAL, UNKNOWN) */
    socklen_t source_bytes;
};

/* `bytes` are the first of the connection. MORE: what is there may begin a header. */
enum proxy_header_verdict proxy_header_read(struct proxy_header *out, const void *bytes,
                                            size_t count);

#endif
