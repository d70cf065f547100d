#include "gateway/edge/farewell.h"

#include "core/base/uninitialized.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

void farewell_init(struct farewell *farewell, int epoll) {
    *farewell = (struct farewell){.epoll = epoll};
    for (size_t i = 0; i < FAREWELL_PLACES; i++) farewell->places[i].fd = -1;
}

static void leave(struct farewell *farewell, size_t place) {
    close(farewell->places[place].fd); /* which also takes it out of the epoll set */
    farewell->places[place].fd = -1;
    farewell->count--;
}

void farewell_add(struct farewell *farewell, int fd, uint64_t until_ns, uint64_t most_bytes) {
    size_t place = farewell->next++ % FAREWELL_PLACES;
    if (farewell->places[place].fd >= 0) leave(farewell, place);
    shutdown(fd, SHUT_WR);
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP, .data.u64 = FAREWELL_TAG | place};
    /* A socket that was relayed is in the set already. */
    if (epoll_ctl(farewell->epoll, EPOLL_CTL_ADD, fd, &event) != 0 &&
        (errno != EEXIST || epoll_ctl(farewell->epoll, EPOLL_CTL_MOD, fd, &event) != 0)) {
        close(fd);
        return;
    }
    farewell->places[place].fd = fd;
    farewell->places[place].until_ns = until_ns;
    farewell->places[place].left = most_bytes;
    farewell->count++;
}

void farewell_event(struct farewell *farewell, uint64_t tag) {
    UNINITIALIZED char thrown_away[16 * 1024];
    size_t place = (size_t)(tag & ~FAREWELL_TAG) % FAREWELL_PLACES;
    if (farewell->places[place].fd < 0) return;
    ssize_t count = recv(farewell->places[place].fd, thrown_away, sizeof thrown_away, MSG_DONTWAIT);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
    uint64_t *left = &farewell->places[place].left;
    *left = count > 0 && (uint64_t)count < *left ? *left - (uint64_t)count : 0;
    if (*left == 0) leave(farewell, place);
}

void farewell_expire(struct farewell *farewell, uint64_t now_ns) {
    for (size_t i = 0; i < FAREWELL_PLACES && farewell->count > 0; i++)
        if (farewell->places[i].fd >= 0 && farewell->places[i].until_ns <= now_ns)
            leave(farewell, i);
}
