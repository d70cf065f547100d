/* spawner - the one thread that starts worker processes and looks into /proc, so that no loop has to.
 *           What starts goes before what looks.
 * thread: open, submit and close on the loop's thread; `done` runs there too. The spawner's own thread
 *         lives until close: the workers' parent-death signal hangs on it.
 * owns:   borrows a job from submit until done.
 * fails:  spawner_open: MEMORY_EXHAUSTED. A failed job says so in itself. */
#ifndef CORE_TRANSPORT_SPAWNER_H
#define CORE_TRANSPORT_SPAWNER_H

#include "core/base/outcome.h"
#include "core/transport/machine_memory.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

struct spawner;
struct spawn_job;
typedef void spawn_done_fn(struct spawn_job *job);

enum spawn_kind { SPAWN_START, SPAWN_MEASURE, SPAWN_WEIGH };

struct spawn_job {
    enum spawn_kind kind;
    spawn_done_fn *done;
    void *owner;
    struct spawn_job *next;

    /* SPAWN_START in: the program gets /dev/null as 0, log as 1 and 2, socket as 3, and where they are
     * not -1 rings as 4 and bell as 5; nothing else. It leads a process group of its own. Both vectors
     * end with NULL. */
    const char *program;
    char *const *arguments, *const *environment;
    int socket, log, rings, bell;
    /* SPAWN_START out, SPAWN_MEASURE in. */
    pid_t pid;
    /* SPAWN_START out: error is an errno, 0 when it was started; pidfd is the taker's to close. */
    int pidfd, error;
    /* SPAWN_MEASURE out: what the process holds, SPAWN_WEIGH out: what this one does; 0 when it could
     * not be read. */
    uint64_t resident_bytes;
    /* SPAWN_WEIGH out. */
    struct machine_memory machine;
};

enum outcome spawner_open(struct spawner **out, uv_loop_t *loop);
void spawner_submit(struct spawner *spawner, struct spawn_job *job);
/* Waits for the thread; what was under way is still done, its done runs before this returns. */
void spawner_close(struct spawner *spawner);

#endif
