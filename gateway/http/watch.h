/* watch - GET /v1/events: everything that happens in the pools, as Server-Sent Events, until the client leaves.
 * thread: the HTTP thread's; the pool's loop only posts FRONT_HAPPENED.
 * owns:   a feed each (core/event_stream.h), which is bounded: a client that reads slowly loses events and is
 *         told how many.
 * fails:  through exchange_refuse. */
#ifndef GATEWAY_HTTP_WATCH_H
#define GATEWAY_HTTP_WATCH_H

#include "core/base/list.h"

#include <uv.h>

struct exchange;
struct watch;

struct watches {
    struct list_node all;
    uv_timer_t timer; /* while there is one */
    bool over;
    size_t over_but_told; /* streams that ended, and the channel still brings a message of them */
};

void watches_open(struct watches *watches, uv_loop_t *loop);
/* Every stream ends with what it has; there will be no other. */
void watches_end(struct watches *watches);

/* The channel says that something has happened. */
void watch_happened(struct watch *watch);
/* The client left or half-closed. */
void watch_left(struct exchange *exchange);

#endif
