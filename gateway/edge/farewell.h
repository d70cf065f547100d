/* farewell - sockets that have had their last answer: their clients' bytes are read and thrown away for
 *          a while, because closing over unread bytes resets the connection and loses the answer.
 * thread: the loop's.
 * owns:   the descriptors given to it; the oldest is closed when there are too many.
 * fails:  never: a descriptor that cannot be watched is closed at once. */
#ifndef GATEWAY_EDGE_FAREWELL_H
#define GATEWAY_EDGE_FAREWELL_H

#include <stddef.h>
#include <stdint.h>

#define FAREWELL_PLACES 128

struct farewell {
    int epoll; /* the caller's; events of places carry FAREWELL_TAG | place */
    size_t count, next;
    struct {
        int fd;                  /* -1: free */
        uint64_t until_ns, left; /* bytes that are still let go by */
    } places[FAREWELL_PLACES];
};
#define FAREWELL_TAG (UINT64_C(1) << 63)

void farewell_init(struct farewell *farewell, int epoll);
/* Takes fd: nothing more will be written on it. */
void farewell_add(struct farewell *farewell, int fd, uint64_t until_ns, uint64_t most_bytes);
void farewell_event(struct farewell *farewell, uint64_t tag);
void farewell_expire(struct farewell *farewell, uint64_t now_ns); /* CLOCK_NEVER: all of them */

#endif
