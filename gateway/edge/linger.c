#include "gateway/edge/linger.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

void linger_init(struct linger *linger, int epoll) {
    *linger = (struct linger){.epoll = epoll};
    for (size_t i = 0; i < LINGER_PLACES; i++) linger->places[i].fd = -1;
}

static void leave(struct linger *linger, size_t place) {
    close(linger->places[place].fd); /* which also takes it out of the epoll set */
    linger->places[place].fd = -1;
    linger->count--;
}

void linger_add(struct linger *linger, int fd, uint64_t until_ns) {
    size_t place = linger->next++ % LINGER_PLACES;
    if (linger->places[place].fd >= 0) leave(linger, place);
    shutdown(fd, SHUT_WR);
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP, .data.u64 = LINGER_TAG | place};
    if (epoll_ctl(linger->epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
        close(fd);
        return;
    }
    linger->places[place].fd = fd;
    linger->places[place].until_ns = until_ns;
    linger->count++;
}

void linger_event(struct linger *linger, uint64_t tag) {
    char thrown_away[16 * 1024];
    size_t place = (size_t)(tag & ~LINGER_TAG) % LINGER_PLACES;
    if (linger->places[place].fd < 0) return;
    ssize_t count = recv(linger->places[place].fd, thrown_away, sizeof thrown_away, MSG_DONTWAIT);
    if (count > 0 || (count < 0 && (errno == EAGAIN || errno == EINTR))) return;
    leave(linger, place);
}

void linger_expire(struct linger *linger, uint64_t now_ns) {
    for (size_t i = 0; i < LINGER_PLACES && linger->count > 0; i++)
        if (linger->places[i].fd >= 0 && linger->places[i].until_ns <= now_ns) leave(linger, i);
}
