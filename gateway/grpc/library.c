#include "gateway/grpc/library.h"

#include "core/base/clock.h"
#include "core/base/log.h"

#include <dlfcn.h>
#include <grpc/grpc.h>
#include <grpc/support/cpu.h>
#include <grpc/support/log.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Clients can make the library complain as often as they like: one line a second. What it says before
 * it ends the process must not wait for a writer. */
static void on_library_log(gpr_log_func_args *line) {
    static _Atomic uint64_t complained_ns;
    if (strncmp(line->message, "assertion failed", 16) == 0)
        dprintf(STDERR_FILENO, "grpc library: %s\n", line->message);
    uint64_t now_ns = clock_now_ns(), last_ns = atomic_load(&complained_ns);
    if (last_ns != 0 && now_ns - last_ns < CLOCK_S) return;
    if (!atomic_compare_exchange_strong(&complained_ns, &last_ns, now_ns)) return;
    log_event(LOG_DEBUG, "grpc library", LOG_STR("text", line->message));
}

/* gRPC core locks with Abseil's mutexes, in C++. As Debian builds them they look for deadlocks at each
 * lock, some 6 % of a call, and the first that has to wait finds out how fast the processor counts, for
 * which it reads files and sleeps: that may not be the pool loop. A library of another build has neither
 * function under this name, and stays as it is. */
static void tame_locks(void) {
    static const char ignore_deadlocks[] =
        "_ZN4absl7debian329SetMutexDeadlockDetectionModeENS0_15OnDeadlockCycleE";
    static const char learn_frequency[] = "_ZN4absl7debian313base_internal19NominalCPUFrequencyEv";
    union {
        void *symbol;
        void (*set_mode)(int mode); /* enum class: 0 is kIgnore */
        double (*frequency)(void);
    } found;
    found.symbol = dlsym(RTLD_DEFAULT, ignore_deadlocks);
    if (found.symbol != NULL) found.set_mode(0);
    found.symbol = dlsym(RTLD_DEFAULT, learn_frequency);
    if (found.symbol != NULL) (void)found.frequency();
}

/* What would be read from files at the first need of it, on whichever thread that is. */
static void read_ahead(void) {
    tzset();
    (void)gpr_cpu_num_cores();
}

void library_open(void) {
    gpr_set_log_function(on_library_log);
    tame_locks();
    read_ahead();
    grpc_init();
}
