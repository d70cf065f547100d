#include "workers/host/launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define POOL_NAME_BYTES   63
#define USUAL_DESCRIPTORS 1024

static bool usage(const char *why) {
    fprintf(stderr,
            "poolgate-worker: %s\n"
            "usage: poolgate-worker --pool NAME --slot N --parent PID [--cpus LIST] [--node N] "
            "(--plugin PATH [--rings] [--chaos FAULTS] [--run N] | -- COMMAND ARGUMENT…)\n"
            "The gateway starts it, with its control socket at descriptor 3.\n",
            why);
    return false;
}

static bool parse_number(const char *text, unsigned long max, unsigned long *out) {
    if (text[0] < '0' || text[0] > '9') return false;
    char *end;
    errno = 0;
    *out = strtoul(text, &end, 10);
    return errno == 0 && *end == '\0' && *out <= max;
}

static bool pool_name_valid(const char *name) {
    size_t bytes = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-");
    return bytes > 0 && bytes <= POOL_NAME_BYTES && name[bytes] == '\0';
}

bool launcher_parse(struct launch *out, int count, char **arguments) {
    enum { POOL = 1, SLOT, PARENT, CPUS, NODE, PLUGIN, RINGS, CHAOS, RUN };
    static const struct option options[] = {
        {"pool", required_argument, NULL, POOL},     {"slot", required_argument, NULL, SLOT},
        {"parent", required_argument, NULL, PARENT}, {"cpus", required_argument, NULL, CPUS},
        {"node", required_argument, NULL, NODE},     {"plugin", required_argument, NULL, PLUGIN},
        {"rings", no_argument, NULL, RINGS},         {"chaos", required_argument, NULL, CHAOS},
        {"run", required_argument, NULL, RUN},       {NULL, 0, NULL, 0}};
    *out = (struct launch){0};
    unsigned long slot = ULONG_MAX, parent = 0, node = ULONG_MAX, run = 0;
    char error[CHAOS_ERROR_BYTES];
    int option;
    opterr = 0;
    while ((option = getopt_long(count, arguments, "+", options, NULL)) != -1) {
        if (option == POOL)
            out->pool = optarg;
        else if (option == PLUGIN)
            out->plugin = optarg;
        else if (option == RINGS)
            out->rings = true;
        else if (option == SLOT && !parse_number(optarg, UINT32_MAX, &slot))
            return usage("--slot is not a number");
        else if (option == PARENT && !parse_number(optarg, INT32_MAX, &parent))
            return usage("--parent is not a process id");
        else if (option == NODE && !parse_number(optarg, INT16_MAX, &node))
            return usage("--node is not a number");
        else if (option == CPUS && !(out->bound = cpus_parse(&out->cpus, optarg) == OK))
            return usage("--cpus is not a list such as 0-3,8");
        else if (option == RUN && !parse_number(optarg, UINT32_MAX, &run))
            return usage("--run is not a number");
        else if (option == CHAOS &&
                 !(out->rehearses = chaos_parse(&out->chaos, optarg, error) == OK))
            return usage(error);
        else if (option == '?')
            return usage("an argument is not known, or lacks its value");
    }
    if (optind < count) out->command = arguments + optind;
    if (out->pool == NULL || !pool_name_valid(out->pool)) return usage("--pool is not a pool name");
    if (slot > UINT32_MAX) return usage("--slot is missing");
    if (parent == 0) return usage("--parent is missing");
    if ((out->plugin == NULL) == (out->command == NULL))
        return usage("either --plugin or a command is needed");
    if (out->rings && out->plugin == NULL) return usage("--rings is for plug-ins");
    if (out->rehearses && out->plugin == NULL) return usage("--chaos is for plug-ins");
    if (out->plugin != NULL && strchr(out->plugin, '/') == NULL)
        return usage("--plugin is not a path");
    out->slot = (uint32_t)slot;
    out->run = (uint32_t)run;
    out->parent = (pid_t)parent;
    out->node = node <= INT16_MAX ? (int)node : -1;
    return true;
}

static void require(bool done, const char *what) {
    if (done) return;
    fprintf(stderr, "poolgate-worker: %s: %s\n", what, strerror(errno));
    exit(LAUNCHER_EXIT_SETUP);
}

/* The signal belongs to the parent's thread that spawned us, and comes only if it ends after this; so
 * look who the parent is now. */
static void die_with(pid_t parent) {
    require(prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0, "parent-death signal");
    if (getppid() == parent) return;
    fprintf(stderr, "poolgate-worker: the parent is %ld, not %ld\n", (long)getppid(), (long)parent);
    exit(LAUNCHER_EXIT_SETUP);
}

static void reset_signals(void) {
    const struct sigaction standard = {.sa_handler = SIG_DFL};
    for (int number = 1; number < NSIG; number++)
        (void)sigaction(number, &standard, NULL); /* SIGKILL, SIGSTOP and libc's own refuse */
    sigset_t none;
    sigemptyset(&none);
    require(sigprocmask(SIG_SETMASK, &none, NULL) == 0, "signal mask");
}

/* The gateway raises its own limit; a program that closes or counts all descriptors expects the usual. */
static void limit_descriptors(void) {
    struct rlimit limit;
    require(getrlimit(RLIMIT_NOFILE, &limit) == 0, "descriptor limit");
    if (limit.rlim_cur > USUAL_DESCRIPTORS) limit.rlim_cur = USUAL_DESCRIPTORS;
    require(setrlimit(RLIMIT_NOFILE, &limit) == 0, "descriptor limit");
}

static void check_socket(void) {
    int domain = 0, type = 0;
    socklen_t bytes = sizeof domain;
    require(getsockopt(LAUNCHER_SOCKET, SOL_SOCKET, SO_DOMAIN, &domain, &bytes) == 0,
            "control socket");
    require(getsockopt(LAUNCHER_SOCKET, SOL_SOCKET, SO_TYPE, &type, &bytes) == 0, "control socket");
    errno = ENOTSOCK;
    require(domain == AF_UNIX && type == SOCK_STREAM, "control socket");
    int flags = fcntl(LAUNCHER_SOCKET, F_GETFL);
    require(flags >= 0 && fcntl(LAUNCHER_SOCKET, F_SETFL, flags & ~O_NONBLOCK) == 0,
            "control socket");
}

/* An allocation that fails because of the worker should end the worker. Raising one's own score needs
 * no privilege; where /proc is not there, the kernel's own choice stands. */
static void volunteer_for_memory_killer(void) {
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd < 0) return;
    ssize_t written = write(fd, "500", 3);
    (void)written;
    close(fd);
}

void launcher_confine(pid_t parent, int last_descriptor) {
    die_with(parent);
    require(getpgrp() == getpid() || setpgid(0, 0) == 0, "process group");
    require(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no new privileges");
    umask(077);
    const struct rlimit none = {0, 0};
    require(setrlimit(RLIMIT_CORE, &none) == 0, "core limit");
    limit_descriptors();
    reset_signals();
    require(close_range((unsigned)last_descriptor + 1, ~0U, 0) == 0, "closing descriptors");
    check_socket();
    volunteer_for_memory_killer();
}

static void say_unsettled(const char *what, int why) {
    if (why != 0) fprintf(stderr, "poolgate-worker: %s: %s\n", what, strerror(why));
}

void launcher_settle(const struct launch *launch) {
    if (launch->bound) {
        int why = cpus_run_on(&launch->cpus);
        say_unsettled(why == EINVAL ? "none of --cpus can be used here" : "--cpus is not applied",
                      why);
        if (why == EINVAL) exit(LAUNCHER_EXIT_SETUP);
    }
    if (launch->node >= 0)
        say_unsettled("--node is not applied", cpus_prefer_node((uint32_t)launch->node));
}

void launcher_execute(char *const *command) {
    require(fcntl(LAUNCHER_SOCKET, F_SETFD, 0) == 0, "control socket");
    execvp(command[0], command);
    int why = errno;
    fprintf(stderr, "poolgate-worker: %s: %s\n", command[0], strerror(why));
    _exit(why == ENOENT ? LAUNCHER_EXIT_NO_COMMAND : LAUNCHER_EXIT_NOT_RUN);
}
