/* launcher - makes the process that the gateway spawned fit for a worker's code.
 * thread: the first thread, before there is another.
 * owns:   descriptors 0 to 3 stay as they are: nothing to read, the log twice, the control socket; so do
 *         LAUNCHER_RINGS and LAUNCHER_BELL where they are announced.
 * fails:  launcher_parse: false, with a line on stderr; the others end the process: LAUNCHER_EXIT_… */
#ifndef WORKERS_HOST_LAUNCHER_H
#define WORKERS_HOST_LAUNCHER_H

#include "core/base/cpus.h"
#include "core/policy/chaos.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define LAUNCHER_SOCKET 3
#define LAUNCHER_RINGS  4 /* with --rings: the pair of rings, and the gateway's bell */
#define LAUNCHER_BELL   5

#define LAUNCHER_EXIT_SETUP      1   /* the parent is another one, or a protection cannot be set */
#define LAUNCHER_EXIT_USAGE      64  /* the arguments are wrong */
#define LAUNCHER_EXIT_NOT_RUN    126 /* the command cannot be executed */
#define LAUNCHER_EXIT_NO_COMMAND 127 /* there is no such command */

struct launch {
    const char *pool;
    uint32_t slot;
    pid_t parent;
    const char *plugin; /* path of a plug-in, or NULL */
    bool rings;         /* the plug-in's requests and replies go through shared rings */
    bool rehearses;     /* faults are injected: */
    struct chaos_options chaos;
    uint32_t run; /* which start of the slot's worker this is */
    bool bound;   /* to these: */
    struct cpus cpus;
    int node;             /* NUMA node that its memory should come from, or -1 */
    char *const *command; /* NULL-terminated, or NULL; exactly one of the two is set */
};

/* --pool NAME --slot N --parent PID [--cpus LIST] [--node N]
 * (--plugin PATH [--rings] [--chaos FAULTS] [--run N] | -- COMMAND ARGUMENT…) */
bool launcher_parse(struct launch *out, int count, char **arguments);
/* Dies with the parent, its own process group, no new privileges, private files, no core dumps, default
 * signals, no descriptors above last_descriptor, first choice of the kernel's memory killer. */
void launcher_confine(pid_t parent, int last_descriptor);
/* Runs on its processors and takes memory from its node from now on. Goes on elsewhere, with a line on
 * stderr, where that is not allowed; ends when none of the processors can be used. */
void launcher_settle(const struct launch *launch);
/* Becomes the command, which finds the control socket at descriptor 3. Does not return. */
void launcher_execute(char *const *command) __attribute__((noreturn));

#endif
