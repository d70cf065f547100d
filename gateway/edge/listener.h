/* listener - a listening socket on a loop: takes every client that comes, also when descriptors run out.
 * thread: the loop's; listener_open before the loop runs.
 * owns:   the socket, a spare descriptor. An accepted socket is the callback's.
 * fails:  listener_open: INVALID_REQUEST (errno tells: cannot listen there), MEMORY_EXHAUSTED. */
#ifndef GATEWAY_EDGE_LISTENER_H
#define GATEWAY_EDGE_LISTENER_H

#include "core/base/outcome.h"

#include <stdint.h>
#include <sys/socket.h>
#include <uv.h>

struct listener_options {
    const char *host; /* numeric */
    uint16_t port;    /* 0: a free one */
    int inherited_fd; /* see edge_options; 0: none */
    /* Sent to who cannot be taken because there is no descriptor left. */
    const char *answer_full;
    void (*accepted)(void *owner, int fd, const struct sockaddr *address);
    void *owner;
};

struct listener;
int listener_bind(const char *host, uint16_t port); /* -1 with errno */
enum outcome listener_open(struct listener **out, uv_loop_t *loop,
                           const struct listener_options *options);
uint16_t listener_port(const struct listener *listener);
/* New clients are refused by the kernel; may be repeated. */
void listener_stop(struct listener *listener);
/* The memory goes when the loop has closed its handles. */
void listener_close(struct listener *listener);

#endif
