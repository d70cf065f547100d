#include "core/base/clock.h"
#include "tests/support/suite.h"
#include "workers/host/chaos.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static struct chaos chaos_of(const char *text, uint32_t run) {
    struct chaos_options options;
    char error[CHAOS_ERROR_BYTES];
    ck_assert_msg(chaos_parse(&options, text, error) == OK, "%s", error);
    struct chaos chaos;
    chaos_open(&chaos, &options, 0, run);
    return chaos;
}

/* A process that meets the fault at its first request, and ends with 7 if it gets past it. */
static pid_t meet(const char *text, uint32_t run) {
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid != 0) return pid;
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    signal(SIGSEGV, SIG_DFL); /* a sanitizer's report would be no signal */
    signal(SIGABRT, SIG_DFL);
    if (freopen("/dev/null", "w", stderr) == NULL) _exit(1);
    struct chaos chaos = chaos_of(text, run);
    chaos_before_request(&chaos, -1);
    _exit(7);
}

START_TEST(a_crash_is_an_abort_or_a_fault_and_both_come_about) {
    bool aborted = false, faulted = false;
    for (uint32_t run = 0; run < 20; run++) {
        int status;
        pid_t pid = meet("crash=100%", run);
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert_msg(WIFSIGNALED(status), "it ended otherwise: %x", (unsigned)status);
        aborted = aborted || WTERMSIG(status) == SIGABRT;
        faulted = faulted || WTERMSIG(status) == SIGSEGV;
        ck_assert(WTERMSIG(status) == SIGABRT || WTERMSIG(status) == SIGSEGV);
    }
    ck_assert(aborted && faulted);
}
END_TEST

START_TEST(a_hang_never_ends_and_some_are_stopped_as_a_whole) {
    enum { RUNS = 16 };
    pid_t pids[RUNS];
    int stopped = 0, waiting = 0;
    for (uint32_t run = 0; run < RUNS; run++) pids[run] = meet("hang=100%", run);
    usleep(300000);
    for (uint32_t run = 0; run < RUNS; run++) {
        int status;
        pid_t changed = waitpid(pids[run], &status, WUNTRACED | WNOHANG);
        ck_assert(changed == 0 || (changed == pids[run] && WIFSTOPPED(status)));
        stopped += changed != 0;
        waiting += changed == 0;
        kill(pids[run], SIGKILL);
        ck_assert_int_eq(waitpid(pids[run], &status, 0), pids[run]);
        ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    }
    ck_assert_int_gt(stopped, 0);
    ck_assert_int_gt(waiting, 0);
}
END_TEST

START_TEST(a_delay_and_a_slow_load_take_their_time) {
    struct chaos chaos = chaos_of("delay=100%:50ms slow-load=100%:80ms", 0);
    uint64_t began_ns = clock_now_ns();
    chaos_before_request(&chaos, -1);
    uint64_t delayed_ns = clock_now_ns();
    chaos_before_ready(&chaos);
    uint64_t loaded_ns = clock_now_ns();
    ck_assert_uint_ge(delayed_ns - began_ns, 50 * CLOCK_MS);
    ck_assert_uint_ge(loaded_ns - delayed_ns, 80 * CLOCK_MS);
    ck_assert_uint_lt(loaded_ns - began_ns, 5 * CLOCK_S);
}
END_TEST

START_TEST(garbage_comes_out_of_the_socket_and_is_no_frame) {
    int sockets[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
    struct chaos chaos = chaos_of("garbage=100%", 0);
    for (int i = 0; i < 100; i++) {
        unsigned char bytes[256];
        chaos_before_request(&chaos, sockets[0]);
        ck_assert_int_eq(recv(sockets[1], bytes, sizeof bytes, MSG_DONTWAIT), 64);
        ck_assert_uint_ne(bytes[0], 'P');
    }
    close(sockets[1]);
    chaos_before_request(&chaos, sockets[0]); /* nobody reads: no signal comes of it */
    close(sockets[0]);
}
END_TEST

static size_t resident_pages(void) {
    unsigned long total = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fscanf(file, "%lu %lu", &total, &resident), 2);
    fclose(file);
    return resident;
}

START_TEST(a_balloon_is_memory_that_is_really_there) {
    struct chaos chaos = chaos_of("balloon=100%:8MiB", 0);
    size_t before = resident_pages(), pages = (size_t)8 * 1024 * 1024 / (size_t)getpagesize();
    chaos_before_request(&chaos, -1);
    chaos_before_request(&chaos, -1);
    ck_assert_uint_ge(resident_pages(), before + 2 * pages - pages / 8);
}
END_TEST

START_TEST(without_chaos_nothing_happens) {
    struct chaos chaos = chaos_of("", 0);
    for (int i = 0; i < 1000; i++) {
        chaos_before_request(&chaos, -1);
        chaos_before_ready(&chaos);
    }
    chaos_before_request(NULL, -1);
    chaos_before_ready(NULL);
}
END_TEST

SUITE("workers/chaos", 30, a_crash_is_an_abort_or_a_fault_and_both_come_about,
      a_hang_never_ends_and_some_are_stopped_as_a_whole, a_delay_and_a_slow_load_take_their_time,
      garbage_comes_out_of_the_socket_and_is_no_frame, a_balloon_is_memory_that_is_really_there,
      without_chaos_nothing_happens)
