/* echo, as the gateway sees it: the built plug-in in front of a fake host. */
#include "tests/support/fake_host.h"
#include "tests/support/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BODY "bytes \xff that come back"

static struct plugin echo;

/* ---- arranging and reading ---- */

static void load_echo(void) {
    echo = plugin_loaded("echo", NULL, NULL);
}

static struct answer ask(const char *operation) {
    return plugin_ask_text(&echo, "text/x-test", operation, BODY);
}

static void is_echo(struct answer answer) {
    ck_assert_msg(answer.kind == ANSWER_WHOLE || answer.kind == ANSWER_CHUNKS, "%s",
                  answer.message);
    ck_assert_str_eq(answer.content_type, "text/x-test");
    ck_assert_uint_eq(answer.size, strlen(BODY));
    ck_assert_mem_eq(answer.bytes, BODY, strlen(BODY));
    answer_free(&answer);
}

static double elapsed_ms(const struct timespec *since) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - since->tv_sec) * 1e3 +
           (double)(now.tv_nsec - since->tv_nsec) / 1e6;
}

/* Asks in a child process; its wait status. After patience_ms (0: none) the child is killed. */
static int ask_in_child(const char *operation, unsigned patience_ms) {
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        signal(SIGABRT, SIG_DFL);
        struct answer answer = ask(operation);
        _exit(answer.kind == ANSWER_NONE ? 99 : 98);
    }
    if (patience_ms > 0) {
        nanosleep(&(struct timespec){.tv_nsec = (long)patience_ms * 1000000}, NULL);
        ck_assert_int_eq(waitpid(child, &(int){0}, WNOHANG), 0);
        kill(child, SIGKILL);
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    return status;
}

/* ---- answers ---- */

START_TEST(the_same_bytes_and_type_come_back) {
    load_echo();
    is_echo(ask(""));
    struct answer empty = plugin_ask(&echo, "", "", NULL, 0);
    ck_assert_int_eq(empty.kind, ANSWER_WHOLE);
    ck_assert_uint_eq(empty.size, 0);
    ck_assert_str_eq(empty.content_type, "");
    answer_free(&empty);
    plugin_close(&echo);
}
END_TEST

START_TEST(a_reply_comes_in_as_many_chunks_as_asked_for) {
    load_echo();
    static const struct {
        const char *operation;
        size_t chunks;
    } cases[] = {{"chunks:2", 2}, {"chunks:7", 7}, {"chunks:1000000", sizeof BODY - 1}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct answer answer = ask(cases[i].operation);
        ck_assert_uint_eq(answer.chunks, cases[i].chunks);
        is_echo(answer);
    }
    struct answer whole = ask("chunks:1");
    ck_assert_int_eq(whole.kind, ANSWER_WHOLE);
    is_echo(whole);
    plugin_close(&echo);

    echo = plugin_loaded("echo", "chunks", "3");
    struct answer configured = ask("");
    ck_assert_uint_eq(configured.chunks, 3);
    is_echo(configured);
    plugin_close(&echo);
}
END_TEST

START_TEST(a_delay_takes_its_time_and_asks_whether_it_is_cancelled) {
    struct timespec start;
    load_echo();
    clock_gettime(CLOCK_MONOTONIC, &start);
    struct answer answer = ask("delay:60");
    ck_assert_double_ge(elapsed_ms(&start), 60);
    ck_assert_int_ge(answer.asks, 2);
    is_echo(answer);
    plugin_close(&echo);

    echo = plugin_loaded("echo", "delay_ms", "30");
    clock_gettime(CLOCK_MONOTONIC, &start);
    is_echo(ask(""));
    ck_assert_double_ge(elapsed_ms(&start), 30);
    clock_gettime(CLOCK_MONOTONIC, &start);
    is_echo(ask("chunks:3")); /* each piece takes that long */
    ck_assert_double_ge(elapsed_ms(&start), 90);
    plugin_close(&echo);
}
END_TEST

START_TEST(a_cancelled_delay_returns_early) {
    load_echo();
    struct answer answer = plugin_ask_until(&echo, "", "delay:86400000", BODY, 4, 3);
    ck_assert_int_eq(answer.asks, 4);
    answer_is_error(answer, POOLGATE_FAILED, "cancelled");
    plugin_close(&echo);
}
END_TEST

START_TEST(a_stubborn_sleep_does_not_ask) {
    struct timespec start;
    load_echo();
    clock_gettime(CLOCK_MONOTONIC, &start);
    struct answer answer =
        plugin_ask_until(&echo, "text/x-test", "stubborn:50", BODY, strlen(BODY), 0);
    ck_assert_double_ge(elapsed_ms(&start), 50);
    ck_assert_int_eq(answer.asks, 0);
    is_echo(answer);
    plugin_close(&echo);
}
END_TEST

START_TEST(an_error_can_be_the_workers_or_the_clients) {
    load_echo();
    answer_is_error(ask("fail"), POOLGATE_FAILED, "failed as asked");
    answer_is_error(ask("invalid"), POOLGATE_INVALID_INPUT, "invalid as asked");
    plugin_close(&echo);
}
END_TEST

START_TEST(a_reply_of_a_size_has_the_known_pattern) {
    load_echo();
    static const struct {
        const char *operation;
        size_t size;
    } cases[] = {{"size:0", 0}, {"size:1", 1}, {"size:300000", 300000}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct answer answer = ask(cases[i].operation);
        ck_assert_uint_eq(answer.taken, 1);
        ck_assert_uint_eq(answer.size, cases[i].size);
        ck_assert_str_eq(answer.content_type, "application/octet-stream");
        for (size_t j = 0; j < answer.size; j++)
            ck_assert_uint_eq((unsigned char)answer.bytes[j], j % 251);
        answer_free(&answer);
    }
    plugin_close(&echo);
}
END_TEST

START_TEST(metadata_names_the_slot) {
    load_echo();
    struct answer answer = ask("meta");
    ck_assert_uint_eq(answer.metas, 1);
    ck_assert_str_eq(answer.meta_name, "echo-slot");
    ck_assert_str_eq(answer.meta_value, "7");
    is_echo(answer);
    plugin_close(&echo);
}
END_TEST

START_TEST(stderr_is_flooded_by_whole_kibibytes_of_lines) {
    load_echo();
    FILE *caught = tmpfile();
    int before = dup(STDERR_FILENO);
    dup2(fileno(caught), STDERR_FILENO);
    struct answer answer = ask("stderr:100");
    dup2(before, STDERR_FILENO);
    close(before);
    is_echo(answer);

    rewind(caught);
    char line[256];
    size_t lines = 0;
    while (fgets(line, sizeof line, caught) != NULL) {
        ck_assert_uint_eq(strlen(line), 64);
        ck_assert_int_eq(line[63], '\n');
        lines++;
    }
    ck_assert_uint_eq(lines, 1600);
    fclose(caught);
    plugin_close(&echo);
}
END_TEST

/* ---- batches ---- */

START_TEST(a_batch_is_answered_one_by_one_and_each_says_how_many_there_were) {
    static const char *const operations[] = {"", "fail", "chunks:3", "dance", "meta"};
    struct poolgate_request requests[5];
    struct answer answers[5];
    for (size_t i = 0; i < 5; i++)
        requests[i] = (struct poolgate_request){.content_type = "text/x-test",
                                                .operation = operations[i],
                                                .traceparent = "",
                                                .body = BODY,
                                                .body_bytes = strlen(BODY)};
    load_echo();
    plugin_ask_batch(&echo, requests, answers, 5);
    for (size_t i = 0; i < 4; i++) {
        ck_assert_uint_eq(answers[i].metas, 1);
        ck_assert_str_eq(answers[i].meta_name, "Batch");
        ck_assert_str_eq(answers[i].meta_value, "5");
    }
    ck_assert_uint_eq(answers[4].metas, 2); /* its own and the batch's */
    is_echo(answers[0]);
    answer_is_error(answers[1], POOLGATE_FAILED, "failed as asked");
    ck_assert_uint_eq(answers[2].chunks, 3);
    is_echo(answers[2]);
    answer_is_error(answers[3], POOLGATE_UNSUPPORTED, "operation: not known");
    is_echo(answers[4]);
    plugin_ask_batch(&echo, requests, answers, 1);
    ck_assert_str_eq(answers[0].meta_value, "1");
    is_echo(answers[0]);
    ck_assert_uint_eq(plugin_ask_text(&echo, "", "fail", "").metas, 0); /* it came alone */
    plugin_close(&echo);
}
END_TEST

START_TEST(each_request_of_a_batch_counts) {
    struct poolgate_request requests[2] = {
        {.content_type = "", .operation = "", .traceparent = ""},
        {.content_type = "", .operation = "", .traceparent = ""}};
    struct answer answers[2];
    echo = plugin_loaded("echo", "exit_on", "4");
    plugin_ask_batch(&echo, requests, answers, 2);
    answer_free(&answers[0]);
    answer_free(&answers[1]);
    is_echo(ask(""));
    int status = ask_in_child("", 0);
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), 3);
    plugin_close(&echo);
}
END_TEST

START_TEST(the_check_is_sound_unless_it_was_told_to_fail) {
    load_echo();
    ck_assert_int_eq(echo.worker->check(echo.state, echo.error), 0);
    plugin_close(&echo);
    echo = plugin_loaded("echo", "check_fail", "1");
    ck_assert_int_ne(echo.worker->check(echo.state, echo.error), 0);
    ck_assert_str_eq(echo.error, "check_fail: failed as asked");
    is_echo(ask(""));
    plugin_close(&echo);
}
END_TEST

/* ---- what ends a process, or never ends ---- */

START_TEST(a_crash_is_an_abort) {
    load_echo();
    int status = ask_in_child("crash", 0);
    ck_assert(WIFSIGNALED(status));
    ck_assert_int_eq(WTERMSIG(status), SIGABRT);
    plugin_close(&echo);
}
END_TEST

START_TEST(an_exit_has_the_status_that_was_asked_for) {
    load_echo();
    int status = ask_in_child("exit:42", 0);
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), 42);
    plugin_close(&echo);
}
END_TEST

START_TEST(a_hang_lasts_until_it_is_killed) {
    load_echo();
    int status = ask_in_child("hang", 50);
    ck_assert(WIFSIGNALED(status));
    ck_assert_int_eq(WTERMSIG(status), SIGKILL);
    plugin_close(&echo);
}
END_TEST

START_TEST(the_slot_exits_at_the_request_it_was_told) {
    echo = plugin_loaded("echo", "exit_on", "3");
    is_echo(ask(""));
    is_echo(ask("chunks:2"));
    int status = ask_in_child("", 0);
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), 3);
    plugin_close(&echo);
}
END_TEST

/* The test framework talks through descriptor 3, too: so a host that says nothing while the
 * descriptor is borrowed. */
static int quiet_send(struct poolgate_reply *reply, const char *type, const void *data,
                      size_t bytes) {
    (void)type, (void)data, (void)bytes;
    *(enum poolgate_error *)reply->host_state = 0;
    return 0;
}

static int quiet_fail(struct poolgate_reply *reply, enum poolgate_error error,
                      const char *message) {
    (void)message;
    *(enum poolgate_error *)reply->host_state = error;
    return 0;
}

/* Asks for garbage while descriptor 3 is this one; 0 or the error. */
static enum poolgate_error ask_garbage_at(int descriptor) {
    enum poolgate_error error = POOLGATE_FAILED;
    const struct poolgate_host host = {.send = quiet_send, .fail = quiet_fail};
    struct poolgate_reply reply = {&host, &error};
    const struct poolgate_request request = {.content_type = "", .operation = "garbage"};
    int before = dup(3);
    dup2(descriptor, 3);
    echo.worker->handle(echo.state, &request, &reply);
    dup2(before, 3);
    close(before);
    return error;
}

START_TEST(garbage_goes_only_to_the_control_socket_of_a_worker_process) {
    char garbage[8192];
    int ends[2], file = open("/dev/null", O_RDWR), internet = socket(AF_INET, SOCK_DGRAM, 0);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    load_echo();
    ck_assert_int_eq(ask_garbage_at(ends[0]), POOLGATE_UNSUPPORTED); /* not that process */
    program_invocation_short_name = (char *)"poolgate-worker";
    ck_assert_int_eq(ask_garbage_at(file), POOLGATE_UNSUPPORTED);     /* not a socket */
    ck_assert_int_eq(ask_garbage_at(internet), POOLGATE_UNSUPPORTED); /* not such a socket */
    ck_assert_int_eq(read(ends[1], garbage, sizeof garbage), -1);

    ck_assert_int_eq(ask_garbage_at(ends[0]), 0);
    ck_assert_int_eq(read(ends[1], garbage, sizeof garbage), 4096);
    ck_assert_int_ne(garbage[0], 'P');
    plugin_close(&echo);
}
END_TEST

/* ---- chance ---- */

static unsigned failures_at(const char *rate) {
    unsigned failures = 0;
    echo = plugin_loaded("echo", "fail_rate", rate);
    for (unsigned i = 0; i < 2000; i++) {
        struct answer answer = ask("");
        failures += answer.kind == ANSWER_ERROR;
        answer_free(&answer);
    }
    plugin_close(&echo);
    return failures;
}

START_TEST(requests_fail_at_the_rate_that_was_configured) {
    ck_assert_uint_eq(failures_at("0"), 0);
    ck_assert_uint_eq(failures_at("1"), 2000);
    unsigned some = failures_at("0.25"); /* 500, give or take 7.7 standard deviations */
    ck_assert_uint_gt(some, 350);
    ck_assert_uint_lt(some, 650);
}
END_TEST

START_TEST(the_rates_spare_a_request_that_chose_an_operation) {
    echo = plugin_loaded("echo", "fail_rate", "1");
    answer_is_error(ask(""), POOLGATE_FAILED, "fail_rate");
    is_echo(ask("chunks:2"));
    plugin_close(&echo);
    echo = plugin_loaded("echo", "crash_rate", "1.0");
    is_echo(ask("delay:0"));
    ck_assert(WIFSIGNALED(ask_in_child("", 0)));
    plugin_close(&echo);
    echo = plugin_loaded("echo", "hang_rate", "1");
    is_echo(ask("delay:0"));
    ck_assert_int_eq(WTERMSIG(ask_in_child("", 50)), SIGKILL);
    plugin_close(&echo);
}
END_TEST

/* ---- what is refused ---- */

START_TEST(an_unknown_operation_is_unsupported_and_the_known_ones_are_named) {
    static const char *const bad[] = {
        "dance",    "delay",    "delay:",   "delay:x",         "delay:-1",
        "delay:1s", "delay:1:", "delays:1", "delay:86400001",  "delay:99999999999999999999",
        "exit:256", "chunks:0", "crash:1",  "fail:",           ":",
        ":5",       "Delay:5",  " delay:5", "size:1073741825", "stderr:1048577"};
    load_echo();
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct answer answer = ask(bad[i]);
        ck_assert_msg(answer.kind == ANSWER_ERROR, "%s", bad[i]);
        ck_assert_ptr_nonnull(strstr(answer.message, "exit:STATUS (0 to 255)"));
        answer_is_error(answer, POOLGATE_UNSUPPORTED, "allowed: delay:MS (0 to 86400000)");
    }
    struct answer last = ask("?");
    ck_assert_str_eq(strrchr(last.message, ','), ", meta"); /* the list is not cut off */
    plugin_close(&echo);
}
END_TEST

START_TEST(a_bad_argument_is_a_load_error_that_says_what_is_allowed) {
    static const char *const rates[] = {"fail_rate", "crash_rate", "hang_rate"};
    static const char *const bad_rates[] = {"", "x", "-0.1", "1.1", "nan", "0.5x", "50%"};
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++)
        for (size_t j = 0; j < sizeof bad_rates / sizeof bad_rates[0]; j++)
            plugin_refuses_argument("echo", rates[i], bad_rates[j],
                                    "_rate: not allowed; allowed: a number from 0 to 1");
    plugin_refuses_argument("echo", "delay_ms", "-1", "delay_ms: not allowed; allowed: a whole");
    plugin_refuses_argument("echo", "delay_ms", "5ms", "from 0 to 86400000");
    plugin_refuses_argument("echo", "chunks", "0", "chunks: not allowed; allowed: a whole");
    plugin_refuses_argument("echo", "load_ms", "", "load_ms: not allowed");
    plugin_refuses_argument("echo", "load_fail", "2", "from 0 to 1");
    plugin_refuses_argument("echo", "exit_on", "x", "exit_on: not allowed");
    plugin_refuses_argument("echo", "check_fail", "2", "from 0 to 1");
    plugin_refuses_argument("echo", "delay", "1", "delay: no such argument; allowed: delay_ms, ch");
}
END_TEST

START_TEST(a_load_can_take_long_and_can_fail) {
    struct timespec start;
    clock_gettime(CLOCK_MONOTONIC, &start);
    echo = plugin_loaded("echo", "load_ms", "40");
    ck_assert_double_ge(elapsed_ms(&start), 40);
    plugin_close(&echo);
    plugin_refuses_argument("echo", "load_fail", "1", "load_fail: failed as asked");
    echo = plugin_loaded("echo", "load_fail", "0");
    is_echo(ask(""));
    plugin_close(&echo);
}
END_TEST

SUITE("workers/echo", 60, the_same_bytes_and_type_come_back,
      a_reply_comes_in_as_many_chunks_as_asked_for,
      a_delay_takes_its_time_and_asks_whether_it_is_cancelled, a_cancelled_delay_returns_early,
      a_stubborn_sleep_does_not_ask, an_error_can_be_the_workers_or_the_clients,
      a_reply_of_a_size_has_the_known_pattern, metadata_names_the_slot,
      stderr_is_flooded_by_whole_kibibytes_of_lines,
      a_batch_is_answered_one_by_one_and_each_says_how_many_there_were,
      each_request_of_a_batch_counts, the_check_is_sound_unless_it_was_told_to_fail,
      a_crash_is_an_abort, an_exit_has_the_status_that_was_asked_for,
      a_hang_lasts_until_it_is_killed, the_slot_exits_at_the_request_it_was_told,
      garbage_goes_only_to_the_control_socket_of_a_worker_process,
      requests_fail_at_the_rate_that_was_configured,
      the_rates_spare_a_request_that_chose_an_operation,
      an_unknown_operation_is_unsupported_and_the_known_ones_are_named,
      a_bad_argument_is_a_load_error_that_says_what_is_allowed, a_load_can_take_long_and_can_fail)
