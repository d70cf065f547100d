/* linger - sockets that have had their last answer: their clients' bytes are read and thrown away for
 *          a while, because closing over unread bytes resets the connection and loses the answer.
 * thread: the loop's.
 * owns:   the descriptors given to it; the oldest is closed when there are too many.
 * fails:  never: a descriptor that cannot be watched is closed at once. */
#ifndef GATEWAY_EDGE_LINGER_H
#define GATEWAY_EDGE_LINGER_H

#include <stddef.h>
#include <stdint.h>

#define LINGER_PLACES 128

struct linger {
    int epoll; /* the caller's; events of places carry LINGER_TAG | place */
    size_t count, next;
    struct {
        int fd; /* -1: free */
        uint64_t until_ns;
    } places[LINGER_PLACES];
};
#define LINGER_TAG (UINT64_C(1) << 63)

void linger_init(struct linger *linger, int epoll);
/* Takes fd: nothing more will be written on it. */
void linger_add(struct linger *linger, int fd, uint64_t until_ns);
void linger_event(struct linger *linger, uint64_t tag);
void linger_expire(struct linger *linger, uint64_t now_ns); /* CLOCK_NEVER: all of them */

#endif
