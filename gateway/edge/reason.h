/* reason - why the edge ended a connection: one name for the metrics and the log.
 * thread: any.
 * owns:   nothing.
 * fails:  never. */
#ifndef GATEWAY_EDGE_REASON_H
#define GATEWAY_EDGE_REASON_H

#include "gateway/edge/h2_guard.h"
#include "gateway/edge/http_guard.h"

/* X(name, label) */
#define EDGE_REASONS(X)                                                                            \
    X(FULL, "full")                                                                                \
    X(ADDRESS_FULL, "address_full")                                                                \
    X(HEADER_TIMEOUT, "header_timeout")                                                            \
    X(SLOW_SENDER, "slow_sender")                                                                  \
    X(SLOW_READER, "slow_reader")                                                                  \
    X(PROXY_HEADER, "proxy_header")                                                                \
    X(TARPIT_FULL, "tarpit_full")                                                                  \
    X(TLS_HANDSHAKE, "tls_handshake")                                                              \
    X(TLS_PLAIN, "tls_plain")                                                                      \
    X(TLS_VERSION, "tls_version")                                                                  \
    X(TLS_CIPHER, "tls_cipher")                                                                    \
    X(TLS_PROTOCOL, "tls_protocol")                                                                \
    X(TLS_CERTIFICATE, "tls_certificate")                                                          \
    X(TLS_REFUSED, "tls_refused")                                                                  \
    X(TLS_RENEGOTIATION, "tls_renegotiation")                                                      \
    X(TLS_KEY_UPDATES, "tls_key_updates")                                                          \
    X(TLS_RECORD, "tls_record")                                                                    \
    X(TLS_CUT, "tls_cut")                                                                          \
    X(TLS_RESET, "tls_reset")                                                                      \
    X(HTTP_LINE, "http_line")                                                                      \
    X(HTTP_FIELD, "http_field")                                                                    \
    X(HTTP_NEWLINE, "http_newline")                                                                \
    X(HTTP_FRAMING, "http_framing")                                                                \
    X(HTTP_CHUNK, "http_chunk")                                                                    \
    X(HTTP_TOO_LONG, "http_too_long")                                                              \
    X(H2_PREFACE, "preface")                                                                       \
    X(H2_FRAME_SIZE, "frame_size")                                                                 \
    X(H2_RAPID_RESET, "rapid_reset")                                                               \
    X(H2_MADE_RESET, "made_reset")                                                                 \
    X(H2_CONTINUATION, "continuation")                                                             \
    X(H2_HEADER_BLOCK, "header_block")                                                             \
    X(H2_SETTINGS, "settings")                                                                     \
    X(H2_PING, "ping")                                                                             \
    X(H2_WINDOW_UPDATE, "window_update")                                                           \
    X(H2_PRIORITY, "priority")                                                                     \
    X(H2_EMPTY_DATA, "empty_data")                                                                 \
    X(H2_STREAMS, "streams")                                                                       \
    X(H2_UNKNOWN_FRAME, "unknown_frame")
#define EDGE_REASON(name, label) EDGE_##name,
enum edge_reason { EDGE_REASONS(EDGE_REASON) EDGE_REASON_COUNT };
#undef EDGE_REASON

const char *edge_reason_name(enum edge_reason reason);
/* Of a verdict that is not CLEAN. */
enum edge_reason edge_reason_of_http(enum http_guard_verdict verdict);
enum edge_reason edge_reason_of_h2(enum h2_guard_verdict verdict);
/* Of a word of tls_flaw_names. */
enum edge_reason edge_reason_of_tls(const char *flaw);

#endif
