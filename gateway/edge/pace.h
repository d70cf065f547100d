/* pace - least rates: whether a client that has to send, or to take, does so fast enough.
 * thread: pace_judge is pure, time and numbers are passed in; pace_measure asks the kernel.
 * owns:   nothing.
 * fails:  pace_measure: false when the socket is no TCP connection any more.
 *
 * Judged window after window. A window in which the client was not the one to wait for is not judged, and
 * begins anew. */
#ifndef GATEWAY_EDGE_PACE_H
#define GATEWAY_EDGE_PACE_H

#include <stdbool.h>
#include <stdint.h>

enum pace_way { PACE_SENDS, PACE_TAKES };

struct pace_rule {
    uint64_t window_ns, least_bytes; /* in a window */
};

struct pace_sample {
    uint64_t moved; /* bytes that have arrived, or that were acknowledged, ever */
    bool owes;      /* there is nothing left to read, or something left to take */
};

struct pace {
    uint64_t since_ns, moved; /* of this window; since_ns 0: it has not begun */
};

bool pace_measure(int fd, enum pace_way way, struct pace_sample *out);
/* True: too slow. */
bool pace_judge(struct pace *pace, const struct pace_sample *sample, const struct pace_rule *rule,
                uint64_t now_ns);
/* How long ago the client has sent anything, in milliseconds; UINT32_MAX when that cannot be said. */
uint32_t pace_silent_ms(int fd);

#endif
