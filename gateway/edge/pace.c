#include "gateway/edge/pace.h"

#include <linux/sockios.h>
#include <linux/tcp.h> /* knows more of TCP_INFO than netinet/tcp.h */
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#ifndef IPPROTO_TCP
#define IPPROTO_TCP 6
#endif

static bool ask(int fd, struct tcp_info *info) {
    socklen_t bytes = sizeof *info;
    *info = (struct tcp_info){.tcpi_state = 0};
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, &bytes) != 0) return false;
    return bytes >=
           offsetof(struct tcp_info, tcpi_bytes_received) + sizeof info->tcpi_bytes_received;
}

bool pace_measure(int fd, enum pace_way way, struct pace_sample *out) {
    struct tcp_info info;
    int waiting = 0;
    if (!ask(fd, &info)) return false;
    if (ioctl(fd, way == PACE_SENDS ? FIONREAD : SIOCOUTQ, &waiting) != 0) return false;
    *out = way == PACE_SENDS
               ? (struct pace_sample){.moved = info.tcpi_bytes_received, .owes = waiting == 0}
               : (struct pace_sample){.moved = info.tcpi_bytes_acked, .owes = waiting > 0};
    return true;
}

bool pace_judge(struct pace *pace, const struct pace_sample *sample, const struct pace_rule *rule,
                uint64_t now_ns) {
    bool slow = false;
    if (sample->owes && pace->since_ns != 0) {
        if (now_ns - pace->since_ns < rule->window_ns) return false;
        slow = sample->moved - pace->moved < rule->least_bytes;
    }
    *pace = (struct pace){.since_ns = now_ns, .moved = sample->moved};
    return slow;
}

uint32_t pace_silent_ms(int fd) {
    struct tcp_info info;
    return ask(fd, &info) ? info.tcpi_last_data_recv : UINT32_MAX;
}
