/* text - whether a client's bytes are a text that may go to workers, headers and logs.
 * thread: any; pure.
 * owns:   nothing.
 * fails:  never. */
#ifndef GATEWAY_GRPC_TEXT_H
#define GATEWAY_GRPC_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* UTF-8 (RFC 3629) without NUL and without control characters (C0, DEL, C1). */
bool text_valid(const char *text, size_t bytes);
/* What a pair of metadata may be called: 1 to 64 of A-Z a-z 0-9 and '-', as in a worker's reply. */
bool text_is_name(const char *text, size_t bytes);

#endif
