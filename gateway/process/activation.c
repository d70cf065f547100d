#include "gateway/process/activation.h"

#include <assert.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FIRST_FD 3 /* by the protocol */
#define MOST_FDS 64

static const char *const names[ACTIVATION_PORTS] = {
    [ACTIVATION_HTTP] = "http", [ACTIVATION_GRPC] = "grpc", [ACTIVATION_ADMIN] = "admin"};

const char *activation_name(enum activation_port port) {
    assert(port < ACTIVATION_PORTS);
    return names[port];
}

static long number_in(const char *name) {
    const char *text = getenv(name);
    if (text == NULL || *text < '0' || *text > '9') return -1;
    char *end;
    long number = strtol(text, &end, 10);
    return *end == '\0' ? number : -1;
}

static bool has_option(int fd, int option, int wanted) {
    int value = 0;
    socklen_t bytes = sizeof value;
    return getsockopt(fd, SOL_SOCKET, option, &value, &bytes) == 0 && value == wanted;
}

static bool is_listening_tcp(int fd) {
    bool internet = has_option(fd, SO_DOMAIN, AF_INET) || has_option(fd, SO_DOMAIN, AF_INET6);
    return internet && has_option(fd, SO_TYPE, SOCK_STREAM) && has_option(fd, SO_ACCEPTCONN, 1);
}

static bool refuse(FILE *errors, int fd, const char *name, const char *why) {
    fprintf(errors, "poolgate: LISTEN_FDS: socket %d, \"%s\", %s\n", fd, name, why);
    return false;
}

static bool take(struct activation *out, int fd, const char *name, FILE *errors) {
    size_t port = 0;
    while (port < ACTIVATION_PORTS && strcmp(names[port], name) != 0) port++;
    if (port == ACTIVATION_PORTS)
        return refuse(errors, fd, name,
                      "has no name that is known, allowed are http, grpc and admin "
                      "(FileDescriptorName=)");
    if (out->fds[port] != 0) return refuse(errors, fd, name, "is the second of its name");
    if (!is_listening_tcp(fd))
        return refuse(errors, fd, name, "is not a listening TCP socket, allowed is ListenStream=");
    out->fds[port] = fd;
    return fcntl(fd, F_SETFD, FD_CLOEXEC) == 0;
}

/* "http:grpc": one name a descriptor. */
static bool take_all(struct activation *out, int count, char *list, FILE *errors) {
    bool good = true;
    for (int i = 0; i < count && good; i++) {
        const char *name = strsep(&list, ":");
        good = take(out, FIRST_FD + i, name != NULL ? name : "", errors);
    }
    return good;
}

bool activation_take(struct activation *out, FILE *errors) {
    *out = (struct activation){0};
    long count = number_in("LISTEN_FDS");
    const char *list = getenv("LISTEN_FDNAMES");
    bool ours = number_in("LISTEN_PID") == (long)getpid() && count > 0, good = true;
    if (ours && count > MOST_FDS) count = MOST_FDS;
    if (ours) {
        char *copy = strdup(list != NULL ? list : "");
        good = copy != NULL && take_all(out, (int)count, copy, errors);
        free(copy);
    }
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    return good;
}

void activation_address(int fd, char text[ACTIVATION_ADDRESS_BYTES]) {
    struct sockaddr_storage address = {0};
    socklen_t bytes = sizeof address;
    char host[INET6_ADDRSTRLEN] = "", port[8] = "";
    int failed = getsockname(fd, (struct sockaddr *)&address, &bytes);
    assert(failed == 0);
    failed = getnameinfo((struct sockaddr *)&address, bytes, host, sizeof host, port, sizeof port,
                         NI_NUMERICHOST | NI_NUMERICSERV);
    assert(failed == 0);
    bool is_four = address.ss_family == AF_INET;
    snprintf(text, ACTIVATION_ADDRESS_BYTES, is_four ? "%s:%s" : "[%s]:%s", host, port);
}
