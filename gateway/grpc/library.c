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

/* gRPC core stands on Abseil, which is C++ and has these names in Debian's build; a library of another build
 * has none of them and stays as it is. */
#define ABSEIL(name) "_ZN4absl7debian3" name

/* As Debian builds Abseil its mutexes look for deadlocks at each lock, some 6 % of a call. */
static void forgo_deadlock_search(void) {
    union {
        void *symbol;
        void (*set_mode)(int mode); /* enum class: 0 is kIgnore */
    } found = {
        dlsym(RTLD_DEFAULT, ABSEIL("29SetMutexDeadlockDetectionModeENS0_15OnDeadlockCycleE"))};
    if (found.symbol != NULL) found.set_mode(0);
}

/* Whoever first has to wait for one of its mutexes finds out how many processors there are and how fast they
 * count, and who first makes a text of a time the time zone: by reading files, even by sleeping. That may
 * be no loop's thread. Each of these asks once and keeps the answer. */
static void ask_abseil_ahead(void) {
    static const char *const asks[] = {ABSEIL("13base_internal7NumCPUsEv"),
                                       ABSEIL("13base_internal19NominalCPUFrequencyEv"),
                                       ABSEIL("13time_internal4cctz15local_time_zoneEv")};
    for (size_t i = 0; i < sizeof asks / sizeof asks[0]; i++) {
        union {
            void *symbol;
            void (*ask)(void); /* what it returns fits a register and is not wanted */
        } found = {dlsym(RTLD_DEFAULT, asks[i])};
        if (found.symbol != NULL) found.ask();
    }
}

/* What would be read from files at the first need of it, on whichever thread that is. */
static void read_ahead(void) {
    tzset();
    (void)gpr_cpu_num_cores();
}

void library_open(void) {
    gpr_set_log_function(on_library_log);
    forgo_deadlock_search();
    ask_abseil_ahead();
    read_ahead();
    grpc_init();
}
