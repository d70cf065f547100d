#include "gateway/process/hardening.h"

#include <assert.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* The hard limit stays: `prlimit --core` can bring a core back for the workers, whose memory may be dumped. */
static void forbid_cores(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_CORE, &limit) != 0) return;
    limit.rlim_cur = 0;
    setrlimit(RLIMIT_CORE, &limit);
}

void process_harden(void) {
    int no_privileges = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    int not_dumpable = prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    assert(no_privileges == 0 && not_dumpable == 0);
    forbid_cores();
    umask(077);
    signal(SIGPIPE, SIG_IGN);
}
