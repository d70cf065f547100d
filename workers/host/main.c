/* poolgate-worker - started by the gateway for one slot: confines itself, then becomes the host of a
 * plug-in or executes a command that speaks the worker protocol (docs/worker-protocol.md). */
#include "workers/host/host.h"
#include "workers/host/launcher.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(int count, char **arguments) {
    struct launch launch;
    if (!launcher_parse(&launch, count, arguments)) return LAUNCHER_EXIT_USAGE;
    launcher_confine(launch.parent, launch.rings ? LAUNCHER_BELL : LAUNCHER_SOCKET);
    launcher_settle(&launch);
    if (launch.command != NULL) launcher_execute(launch.command);

    (void)fcntl(LAUNCHER_SOCKET, F_SETFD,
                FD_CLOEXEC); /* what a plug-in starts has no business here */
    if (launch.rings) {
        (void)fcntl(LAUNCHER_RINGS, F_SETFD, FD_CLOEXEC);
        (void)fcntl(LAUNCHER_BELL, F_SETFD, FD_CLOEXEC);
    }
    (void)setvbuf(stdout, NULL, _IOLBF, 0); /* a crash should not swallow what was printed */
    (void)setenv("OMP_THREAD_LIMIT", "1",
                 0); /* slots are the parallelism, before OpenMP is loaded */
    struct ring_pair *rings = NULL;
    if (launch.rings && ring_pair_attach(&rings, LAUNCHER_RINGS) != OK) {
        fprintf(stderr, "poolgate-worker: the rings cannot be used\n");
        return HOST_EXIT_SYSTEM;
    }
    struct chaos chaos;
    chaos_open(&chaos, &launch.chaos, launch.slot, launch.run);
    int status = host_run(&(struct host_options){.place = HOST_PROCESS,
                                                 .plugin_path = launch.plugin,
                                                 .fd = LAUNCHER_SOCKET,
                                                 .rings = rings,
                                                 .chaos = launch.rehearses ? &chaos : NULL,
                                                 .bell = launch.rings ? LAUNCHER_BELL : -1});
    /* Not exit: the socket's thread runs, and its stack is not to be pulled away by destructors. */
    fflush(NULL);
    _exit(status);
}
