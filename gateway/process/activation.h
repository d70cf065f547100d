/* activation - listening sockets that a service manager hands over: sd_listen_fds(3).
 * thread: main, before anything else opens descriptors.
 * owns:   the descriptors become the caller's; they are closed on exec from then on.
 * fails:  activation_take: false with one line in `errors`: a socket without a name that we know, one that
 *         is not a listening TCP socket, two of a name. */
#ifndef GATEWAY_PROCESS_ACTIVATION_H
#define GATEWAY_PROCESS_ACTIVATION_H

#include <stdbool.h>
#include <stdio.h>

#define ACTIVATION_ADDRESS_BYTES 64

enum activation_port { ACTIVATION_HTTP, ACTIVATION_GRPC, ACTIVATION_ADMIN, ACTIVATION_PORTS };

/* 0: this one is not handed over. */
struct activation {
    int fds[ACTIVATION_PORTS];
};

/* Takes LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES out of the environment. */
bool activation_take(struct activation *out, FILE *errors);
const char *activation_name(enum activation_port port); /* "http" */
/* Where it listens: "127.0.0.1:8080", "[::]:8080". */
void activation_address(int fd, char text[ACTIVATION_ADDRESS_BYTES]);

#endif
