/* fastcgi_echo SOCKET PROCESSES - the classic pool: so many worker processes accept on one FastCGI
 * socket, and each answers one request at a time with the bytes it was sent.
 *
 * thread: one per process.
 * owns:   its children; they end with it, however it ends.
 * fails:  exits with 1 when the socket cannot be had or a child ends. */
#define _GNU_SOURCE
#include <fcgiapp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define BACKLOG       1024
#define BODY_BYTES    4096
#define MAX_PROCESSES 64

static void serve(int listener, pid_t parent) {
    FCGX_Request request;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent || FCGX_InitRequest(&request, listener, 0) != 0) exit(1);
    while (FCGX_Accept_r(&request) >= 0) {
        char body[BODY_BYTES];
        int bytes = FCGX_GetStr(body, sizeof body, request.in);
        FCGX_FPrintF(request.out,
                     "Content-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n", bytes);
        FCGX_PutStr(body, bytes, request.out);
        FCGX_Finish_r(&request);
    }
    exit(1);
}

/* Until it is told to end or a child has ended; no child is left to anybody else. */
static void watch(const sigset_t *signals, const pid_t *children, long count) {
    int number;
    sigwait(signals, &number);
    for (long i = 0; i < count; i++) kill(children[i], SIGKILL);
    while (wait(NULL) > 0) continue;
}

int main(int argc, char **argv) {
    long count = argc == 3 ? strtol(argv[2], NULL, 10) : 0;
    if (count < 1 || count > MAX_PROCESSES) {
        fprintf(stderr, "usage: fastcgi_echo SOCKET PROCESSES\n");
        return 2;
    }
    if (FCGX_Init() != 0) return 1;
    int listener = FCGX_OpenSocket(argv[1], BACKLOG);
    if (listener < 0) return 1;
    pid_t self = getpid(), children[MAX_PROCESSES];
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGCHLD);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    for (long i = 0; i < count; i++) {
        children[i] = fork();
        if (children[i] < 0) return 1;
        if (children[i] == 0) serve(listener, self);
    }
    watch(&signals, children, count);
    return 1;
}
