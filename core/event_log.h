/* event_log - a listener that writes what happens into the log, single requests apart.
 * thread: open and close from one; it listens on a thread of its own, so that the loop only signals.
 * owns:   its thread and its feed.
 * fails:  event_log_open: MEMORY_EXHAUSTED, QUEUE_FULL. Events that it loses are a line of their own. */
#ifndef CORE_EVENT_LOG_H
#define CORE_EVENT_LOG_H

#include "core/event_stream.h"

struct event_log;

enum outcome event_log_open(struct event_log **out, struct event_stream *stream);
/* Writes what had been emitted before. */
void event_log_close(struct event_log *log);

#endif
