/* stream_tls - a client's side with a TLS session on its socket.
 * thread: the loop's.
 * owns:   see stream: the session goes with kind->close.
 * fails:  stream_tls: false when out of memory. */
#ifndef GATEWAY_EDGE_STREAM_TLS_H
#define GATEWAY_EDGE_STREAM_TLS_H

#include "gateway/edge/stream.h"
#include "gateway/edge/tls.h"

enum stream_tls_step { STREAM_TLS_DONE, STREAM_TLS_WAITS, STREAM_TLS_FAILED };

bool stream_tls(struct stream *out, struct tls *tls, int fd);
/* Until DONE nothing is sent or received. WAITS: for the socket to do anything new. */
enum stream_tls_step stream_tls_handshake(struct stream *stream);
const char *stream_tls_flaw(const struct stream *stream);
const char *stream_tls_detail(const struct stream *stream);

#endif
