/* urgency - the class that a Priority header asks for (RFC 9218).
 * thread: any; pure.
 * owns:   nothing.
 * fails:  never; what RFC 9218 tells a server to ignore is ignored. */
#ifndef GATEWAY_HTTP_URGENCY_H
#define GATEWAY_HTTP_URGENCY_H

#include "core/base/request.h"

/* Of a Priority header (RFC 9218): u=0 critical, 1-2 high, 3 normal, 4-5 low, 6-7 batch. Normal when
 * the field does not say or cannot be read. NULL is allowed. */
enum priority urgency_priority(const char *field);

#endif
