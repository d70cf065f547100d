#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/symbol.h"
#include "core/watchdog.h"
#include "tests/support/suite.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define TEXT_BYTES 65536

static FILE *file;
static char text[TEXT_BYTES];

static void open_all(void) {
    file = tmpfile();
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(log_open(fileno(file), LOG_DEBUG, LOG_TEXT), OK);
    ck_assert_int_eq(watchdog_open(), OK);
}

/* What was logged. */
static void close_all(void) {
    watchdog_close();
    log_close();
    rewind(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
}

static unsigned occurrences(const char *words) {
    unsigned count = 0;
    for (const char *at = text; (at = strstr(at, words)) != NULL; at++) count++;
    return count;
}

/* The number behind the first `key` in the log. */
static uint64_t number_after(const char *key) {
    const char *at = strstr(text, key);
    ck_assert_msg(at != NULL, "no %s in: %s", key, text);
    return strtoull(at + strlen(key), NULL, 10);
}

static void sleep_ms(uint64_t ms) {
    nanosleep(
        &(struct timespec){.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000 * 1000000)},
        NULL);
}

static __attribute__((noinline)) void spin_in_vain(uint64_t ms) {
    uint64_t until_ns = clock_now_ns() + ms * CLOCK_MS;
    while (clock_now_ns() < until_ns) continue;
}

static void *stalls_once(void *unused) {
    (void)unused;
    struct watchdog_loop *loop = watchdog_watch("test loop");
    watchdog_enter(loop, clock_now_ns());
    spin_in_vain(1600);
    watchdog_leave(loop, clock_now_ns());
    for (int i = 0; i < 10; i++) { /* it goes on as before */
        watchdog_enter(loop, clock_now_ns());
        sleep_ms(30);
        watchdog_leave(loop, clock_now_ns());
    }
    watchdog_unwatch(loop);
    return NULL;
}

START_TEST(a_loop_that_spins_is_reported_once_with_the_name_of_the_place_and_when_it_ends) {
    open_all();
    pthread_t thread;
    pthread_create(&thread, NULL, stalls_once, NULL);
    sleep_ms(1300);
    uint64_t stalled_ns = watchdog_stalled_ns();
    ck_assert_uint_ge(stalled_ns, CLOCK_S);
    ck_assert_uint_lt(stalled_ns, 10 * CLOCK_S);
    pthread_join(thread, NULL);
    ck_assert_uint_eq(watchdog_stalled_ns(), 0);
    close_all();
    ck_assert_uint_eq(occurrences("msg=\"loop stalled\""), 1);
    ck_assert_uint_eq(occurrences("level=error"), 1);
    ck_assert_uint_eq(occurrences("loop=\"test loop\""), 2);
    ck_assert_uint_eq(occurrences("spin_in_vain+0x"), 1);
    ck_assert_uint_eq(occurrences("stalls_once+0x"), 1);
    ck_assert_uint_ge(number_after(" for_ms="), 1000);
    ck_assert_uint_eq(occurrences("msg=\"loop runs again\""), 1);
    ck_assert_uint_ge(number_after(" stalled_ms="), 1600);
    ck_assert_uint_lt(number_after(" stalled_ms="), 10000);
}
END_TEST

static atomic_bool over;

static void *works_in_short_rounds(void *unused) {
    (void)unused;
    struct watchdog_loop *loop = watchdog_watch("healthy");
    while (!atomic_load(&over)) {
        watchdog_enter(loop, clock_now_ns());
        spin_in_vain(20);
        watchdog_leave(loop, clock_now_ns());
    }
    watchdog_unwatch(loop);
    return NULL;
}

static void *waits_for_long(void *unused) {
    (void)unused;
    struct watchdog_loop *loop = watchdog_watch("idle");
    int poll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event;
    watchdog_enter(loop, clock_now_ns());
    watchdog_leave(loop, clock_now_ns());
    ck_assert_int_eq(epoll_wait(poll, &event, 1, 1800), 0);
    close(poll);
    watchdog_enter(loop, clock_now_ns());
    watchdog_unwatch(loop);
    return NULL;
}

START_TEST(a_loop_that_works_in_short_rounds_or_has_nothing_to_do_is_never_reported) {
    open_all();
    pthread_t busy, idle;
    pthread_create(&busy, NULL, works_in_short_rounds, NULL);
    pthread_create(&idle, NULL, waits_for_long, NULL);
    pthread_join(idle, NULL);
    ck_assert_uint_eq(watchdog_stalled_ns(), 0);
    atomic_store(&over, true);
    pthread_join(busy, NULL);
    close_all();
    ck_assert_str_eq(text, "");
}
END_TEST

/* As in a callback of a socket, which libuv calls before its check handles. */
static void *stalls_before_it_says_enter(void *unused) {
    (void)unused;
    struct watchdog_loop *loop = watchdog_watch("callback");
    watchdog_leave(loop, clock_now_ns());
    spin_in_vain(1500);
    watchdog_enter(loop, clock_now_ns());
    sleep_ms(200);
    watchdog_unwatch(loop);
    return NULL;
}

START_TEST(a_loop_that_says_it_sleeps_but_does_not_is_reported) {
    open_all();
    pthread_t thread;
    pthread_create(&thread, NULL, stalls_before_it_says_enter, NULL);
    pthread_join(thread, NULL);
    close_all();
    ck_assert_uint_eq(occurrences("msg=\"loop stalled\" loop=callback"), 1);
    ck_assert_uint_eq(occurrences("spin_in_vain+0x"), 1);
    ck_assert_uint_eq(occurrences("msg=\"loop runs again\" loop=callback"), 1);
}
END_TEST

/* As a hardened gateway is: not root, and nobody may look into it, not even itself. Each test is a process of
 * its own. */
static void become_unreadable(void) {
    if (getuid() == 0) {
        ck_assert_int_eq(setresgid(65534, 65534, 65534), 0);
        ck_assert_int_eq(setresuid(65534, 65534, 65534), 0);
    }
    ck_assert_int_eq(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0), 0);
}

START_TEST(a_process_that_may_not_be_read_is_watched_all_the_same) {
    open_all();
    become_unreadable();
    pthread_t thread, idle;
    pthread_create(&idle, NULL, waits_for_long, NULL);
    pthread_create(&thread, NULL, stalls_before_it_says_enter, NULL);
    pthread_join(thread, NULL);
    pthread_join(idle, NULL);
    close_all();
    ck_assert_uint_eq(occurrences("msg=\"loop stalled\" loop=callback"), 1);
    ck_assert_uint_eq(occurrences("msg=\"loop runs again\" loop=callback"), 1);
    ck_assert_uint_eq(occurrences("loop=idle"), 0);
}
END_TEST

START_TEST(loops_come_and_go_and_those_beyond_the_places_are_not_seen) {
    struct watchdog_loop *loops[20];
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < 20; i++) loops[i] = watchdog_watch("one of many");
        for (size_t i = 0; i < 20; i++) watchdog_enter(loops[i], 1);
        ck_assert_ptr_ne(loops[0], loops[15]);
        ck_assert_ptr_eq(loops[16], loops[19]);
        for (size_t i = 0; i < 20; i++) watchdog_unwatch(loops[i]);
    }
    open_all();
    sleep_ms(250);
    ck_assert_uint_eq(watchdog_stalled_ns(), 0);
    close_all();
    ck_assert_str_eq(text, "");
}
END_TEST

START_TEST(an_address_is_named_by_its_function_whether_exported_or_not) {
    char name[SYMBOL_BYTES];
    symbol_text((const char *)(uintptr_t)spin_in_vain + 1, name);
    ck_assert_str_eq(name, "spin_in_vain+0x1");
    void *libc = (void *)(uintptr_t)strtoull;
    symbol_text((const char *)libc + 2, name);
    ck_assert_msg(strstr(name, "+0x") != NULL, "%s", name);
    symbol_text((const void *)1, name);
    ck_assert_str_eq(name, "0x1");
}
END_TEST

SUITE("core/watchdog", 60,
      a_loop_that_spins_is_reported_once_with_the_name_of_the_place_and_when_it_ends,
      a_loop_that_works_in_short_rounds_or_has_nothing_to_do_is_never_reported,
      a_loop_that_says_it_sleeps_but_does_not_is_reported,
      a_process_that_may_not_be_read_is_watched_all_the_same,
      loops_come_and_go_and_those_beyond_the_places_are_not_seen,
      an_address_is_named_by_its_function_whether_exported_or_not)
