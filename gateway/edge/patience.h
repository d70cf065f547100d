/* patience - who is waited for and until when. All waits of a kind are equally long, so each kind's line is in
 *            the order of deadlines.
 * thread: the loop's; time is passed in.
 * owns:   nothing: a wait lies in what waits.
 * fails:  never. */
#ifndef GATEWAY_EDGE_PATIENCE_H
#define GATEWAY_EDGE_PATIENCE_H

#include "core/base/list.h"

#include <stdbool.h>
#include <stdint.h>

/* HEADER: a greeting, a handshake or a header is to be whole. PROBE: the same, in a place for probes. IDLE: a
 * connection between two requests is to be looked at. LEAVING: it has sent FIN and asked nothing. */
enum patience_kind {
    PATIENCE_HEADER,
    PATIENCE_PROBE,
    PATIENCE_IDLE,
    PATIENCE_LEAVING,
    PATIENCE_COUNT
};

struct wait {
    struct list_node node; /* in a line, or nowhere */
    enum patience_kind kind;
    uint64_t due_ns;
};

struct patience {
    struct list_node lines[PATIENCE_COUNT];
    uint64_t lengths_ns[PATIENCE_COUNT];
};

void patience_init(struct patience *patience);
/* Instead of what it waited for before. */
void patience_start(struct patience *patience, struct wait *wait, enum patience_kind kind,
                    uint64_t now_ns);
void patience_stop(struct wait *wait); /* may be repeated */
static inline bool patience_waits(const struct wait *wait) {
    return wait->node.next != NULL;
}
/* Takes one whose time is over out of its line; NULL: there is none. */
struct wait *patience_next_due(struct patience *patience, uint64_t now_ns);
bool patience_is_empty(const struct patience *patience);

#endif
