/* traceparent - the trace context that a client sends along (W3C Trace Context, level 1).
 * thread: any; pure.
 * owns:   nothing.
 * fails:  never: what is not one is as if it were not there. */
#ifndef GATEWAY_TRACEPARENT_H
#define GATEWAY_TRACEPARENT_H

/* The text itself, "" when it is not a traceparent; NULL is allowed. */
const char *traceparent_checked(const char *field);

#endif
