#include "gateway/process/notify.h"

#include "core/base/clock.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define MESSAGE_BYTES 512
#define PATIENCE_S    1

/* A path, or with @ in front a name of the abstract space. */
static bool make_address(const char *text, struct sockaddr_un *address, socklen_t *bytes) {
    size_t length = strlen(text);
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if ((text[0] != '/' && text[0] != '@') || length < 2) return false;
    if (length >= sizeof address->sun_path) return false;
    memcpy(address->sun_path, text, length);
    if (text[0] == '@') address->sun_path[0] = '\0';
    *bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + (text[0] == '/'));
    return true;
}

static int connect_to(const char *text) {
    struct sockaddr_un address;
    socklen_t bytes;
    const struct timeval patience = {.tv_sec = PATIENCE_S};
    if (text == NULL || !make_address(text, &address, &bytes)) return -1;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) == 0 &&
        connect(fd, (const struct sockaddr *)&address, bytes) == 0)
        return fd;
    close(fd);
    return -1;
}

static uint64_t number_in(const char *name) {
    const char *text = getenv(name);
    if (text == NULL || *text < '0' || *text > '9') return 0;
    char *end;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    return errno == 0 && *end == '\0' ? number : 0;
}

/* How often: twice within the time after which we are taken for dead. */
static uint64_t period_ns(void) {
    uint64_t limit_us = number_in("WATCHDOG_USEC"), pid = number_in("WATCHDOG_PID");
    if (getenv("WATCHDOG_PID") != NULL && pid != (uint64_t)getpid()) return 0;
    return limit_us < UINT64_MAX / CLOCK_US ? limit_us * CLOCK_US / 2 : 0;
}

void notify_open(struct notify *notify) {
    *notify = (struct notify){.fd = connect_to(getenv("NOTIFY_SOCKET"))};
    if (notify->fd >= 0) notify->every_ns = period_ns();
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
}

bool notify_say(const struct notify *notify, const char *format, ...) {
    char text[MESSAGE_BYTES];
    if (notify->fd < 0) return true;
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    size_t bytes = length < MESSAGE_BYTES ? (size_t)length : MESSAGE_BYTES - 1;
    return send(notify->fd, text, bytes, MSG_NOSIGNAL) == (ssize_t)bytes;
}

uint64_t notify_due_ns(const struct notify *notify) {
    return notify->every_ns > 0 ? notify->due_ns : CLOCK_NEVER;
}

void notify_feed(struct notify *notify, bool alive, uint64_t now_ns) {
    if (notify_due_ns(notify) > now_ns) return;
    notify->due_ns = now_ns + notify->every_ns;
    if (alive) notify_say(notify, "WATCHDOG=1");
}

void notify_close(struct notify *notify) {
    if (notify->fd >= 0) close(notify->fd);
    notify->fd = -1;
}
