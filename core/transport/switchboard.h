/* switchboard - what the ringed connections of one loop do once a round and not once a request: collect
 *               replies after the loop woke, wake workers and set the bells before it sleeps.
 * thread: the loop's.
 * owns:   its three handles, which do not keep the loop alive. Members are their connections'.
 * fails:  switchboard_open: MEMORY_EXHAUSTED.
 *
 * A member is hot from the moment that anything was sent or heard until it has rested: a worker need not
 * ring for one that is hot. Handles of a kind run latest first: open it before the loop's own prepare
 * handle, so that it runs behind that one's. */
#ifndef CORE_TRANSPORT_SWITCHBOARD_H
#define CORE_TRANSPORT_SWITCHBOARD_H

#include "core/base/list.h"
#include "core/base/outcome.h"

#include <uv.h>

struct switchboard;
struct switchboard_member;

struct switchboard_calls {
    /* Handles what has come. */
    void (*collect)(struct switchboard_member *member);
    /* Wakes the other side if it sleeps and something was sent. */
    void (*wake)(struct switchboard_member *member);
    /* Says that nobody listens until the bell is rung; false: something has come meanwhile. */
    bool (*rest)(struct switchboard_member *member);
};

struct switchboard_member {
    struct list_node node;
    bool hot;
    const struct switchboard_calls *calls;
};

enum outcome switchboard_open(struct switchboard **out, uv_loop_t *loop);
/* Only without members; freed once the loop has closed its handles. NULL is allowed. */
void switchboard_close(struct switchboard *switchboard);
/* Wakes whom something was sent; also done before the loop sleeps. */
void switchboard_wake(struct switchboard *switchboard);
void switchboard_heat(struct switchboard *switchboard, struct switchboard_member *member);
void switchboard_leave(struct switchboard_member *member);

#endif
