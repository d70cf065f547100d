/* notify - tells the service manager how the service is: sd_notify(3), whose protocol is one datagram a
 *          message. libsystemd is not linked for it: it would load six more libraries, decompressors
 *          among them, into a process that faces strangers.
 * thread: main's.
 * owns:   one socket from notify_open to notify_close.
 * fails:  quietly: nobody may be listening. A manager that does not take a message is waited for for at
 *         most a second. */
#ifndef GATEWAY_PROCESS_NOTIFY_H
#define GATEWAY_PROCESS_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

struct notify {
    int fd;            /* -1: nobody listens */
    uint64_t every_ns; /* between two signs of life; 0: none is wanted */
    uint64_t due_ns;
};

/* Takes NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID out of the environment. */
void notify_open(struct notify *notify);
/* "READY=1\nSTATUS=…"; false: it was not taken. */
bool notify_say(const struct notify *notify, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* When a sign of life is due; CLOCK_NEVER: none is. */
uint64_t notify_due_ns(const struct notify *notify);
/* Gives it if it is due and we are alive. */
void notify_feed(struct notify *notify, bool alive, uint64_t now_ns);
void notify_close(struct notify *notify);

#endif
