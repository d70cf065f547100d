#include "core/base/clock.h"
#include "gateway/edge/edge.h"
#include "tests/support/suite.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define PLACES 16

/* A front end that keeps its clients' sockets open and remembers what it was told. */
static struct front_end {
    struct edge_client *clients[PLACES];
    int fds[PLACES]; /* the library's */
    size_t entered, left;
    enum edge_presence presence;
} front;

static uv_loop_t loop;
static struct edge *edge;
static struct metrics *metrics;
static struct edge_options options;

static void on_enter(void *owner, struct edge_client *client, int fd) {
    (void)owner;
    ck_assert_uint_lt(front.entered, PLACES);
    front.fds[front.entered] = fd;
    front.clients[front.entered++] = client;
}

static void on_left(void *owner, struct edge_client *client) {
    (void)owner;
    front.left++;
    front.presence = client->presence;
}

static void write_flaw(char *out, size_t room, enum outcome answer, const char *flaw) {
    snprintf(out, room, "%s %s.", outcome_code(answer), flaw);
}

static const struct edge_door door = {.enter = on_enter,
                                      .left = on_left,
                                      .answers = {[EDGE_FULL] = "full",
                                                  [EDGE_ADDRESS_FULL] = "address",
                                                  [EDGE_HEADER_TIMEOUT] = "slow",
                                                  [EDGE_SLOW_SENDER] = "sender",
                                                  [EDGE_PROXY_HEADER] = "proxy"},
                                      .write_flaw = write_flaw};

static enum outcome open_edge(const char *host, uint16_t port) {
    options.host = host;
    options.port = port;
    return edge_open(&edge, &loop, &options, &door, &front);
}

static void choose_options(void) {
    memset(&front, 0, sizeof front);
    ck_assert_int_eq(metrics_open(&metrics), OK);
    options = (struct edge_options){.max_connections = 2,
                                    .probe_connections = 1,
                                    .header_timeout_ns = 300 * CLOCK_MS,
                                    .metrics = metrics,
                                    .frontend = FRONTEND_HTTP};
}

static void open_it(void) {
    uv_loop_init(&loop);
    ck_assert_int_eq(open_edge("127.0.0.1", 0), OK);
    ck_assert_uint_ne(edge_port(edge), 0);
}

static void arrange(void) {
    choose_options();
    open_it();
}

static void close_client(size_t i) {
    edge_forget(edge, front.clients[i]);
    close(front.fds[i]);
    front.clients[i] = NULL;
}

static void end(void) {
    for (size_t i = 0; i < front.entered; i++)
        if (front.clients[i] != NULL) close_client(i);
    edge_close(edge);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    metrics_close(metrics);
}

static int dial(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(edge_port(edge))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void turn(uint64_t ms) {
    uint64_t until_ns = clock_now_ns() + ms * CLOCK_MS;
    do {
        uv_run(&loop, UV_RUN_NOWAIT);
        usleep(1000);
    } while (clock_now_ns() < until_ns);
}

static const char *read_all(int fd) {
    static char text[64];
    ssize_t bytes = recv(fd, text, sizeof text - 1, MSG_DONTWAIT);
    text[bytes > 0 ? bytes : 0] = '\0';
    return text;
}

static bool at_end(int fd) {
    char byte;
    return recv(fd, &byte, 1, MSG_DONTWAIT) == 0;
}

START_TEST(a_client_that_sends_fin_has_half_closed) {
    arrange();
    int fd = dial();
    turn(20);
    ck_assert_uint_eq(front.entered, 1);
    ck_assert_uint_eq(front.left, 0);
    shutdown(fd, SHUT_WR);
    turn(20);
    ck_assert_uint_eq(front.left, 1);
    ck_assert_int_eq(front.presence, EDGE_HALF_CLOSED);
    close(fd);
    end();
}
END_TEST

static unsigned counted(const char *reason) {
    static struct snapshot nothing;
    char *page = NULL, line[128];
    size_t bytes = 0;
    FILE *out = open_memstream(&page, &bytes);
    metrics_write(metrics, &nothing, out);
    fclose(out);
    snprintf(line, sizeof line, "edge_closed_total{frontend=\"http\",reason=\"%s\"} ", reason);
    const char *found = strstr(page, line);
    ck_assert_ptr_nonnull(found);
    unsigned count = (unsigned)strtoul(found + strlen(line), NULL, 10);
    free(page);
    return count;
}

/* Each breaks the rules of HTTP/2 with its first byte. */
static void flood(int times) {
    for (int i = 0; i < times; i++) {
        int fd = dial();
        turn(5);
        ck_assert_int_eq(send(fd, "X", 1, 0), 1);
        turn(5);
        close_client(front.entered - 1);
        close(fd);
    }
}

START_TEST(who_has_flooded_waits_in_the_tarpit_and_comes_in_one_by_one) {
    choose_options();
    options.max_connections = 100;
    options.service = EDGE_GUARDED_H2;
    open_it();
    flood(3);
    size_t before = front.entered;
    int fds[2] = {dial(), dial()};
    turn(20);
    ck_assert_uint_eq(front.entered, before);
    ck_assert_int_eq(send(fds[0], "P", 1, 0), 1); /* what is sent meanwhile is not lost */
    turn(55);
    ck_assert_uint_eq(front.entered, before + 1);
    char byte = 0;
    ck_assert_int_eq(recv(front.fds[before], &byte, 1, MSG_DONTWAIT), 1);
    ck_assert_int_eq(byte, 'P');
    turn(60);
    ck_assert_uint_eq(front.entered, before + 2);
    close(fds[0]);
    close(fds[1]);
    end();
}
END_TEST

START_TEST(a_client_that_leaves_the_tarpit_early_and_one_too_many_leave_no_trace) {
    choose_options();
    options.max_connections = 100;
    options.service = EDGE_GUARDED_H2;
    open_it();
    flood(3);
    size_t before = front.entered;
    int fds[66];
    for (int i = 0; i < 66; i++) fds[i] = dial();
    turn(20);
    ck_assert_uint_ge(counted("tarpit_full"), 1);
    for (int i = 0; i < 66; i++) {
        const struct linger hard = {.l_onoff = 1};
        setsockopt(fds[i], SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
        close(fds[i]);
    }
    turn(200);
    ck_assert_uint_le(front.entered, before + 2);
    end();
}
END_TEST

START_TEST(a_client_that_resets_is_gone_also_after_a_fin) {
    arrange();
    int fd = dial();
    turn(20);
    shutdown(fd, SHUT_WR);
    turn(20);
    struct linger hard = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close(fd);
    turn(20);
    ck_assert_uint_eq(front.left, 2);
    ck_assert_int_eq(front.presence, EDGE_GONE);
    end();
}
END_TEST

START_TEST(bytes_that_arrive_are_none_of_the_edges_business) {
    arrange();
    int fd = dial();
    turn(20);
    ck_assert_int_eq(write(fd, "hello", 5), 5);
    turn(20);
    ck_assert_uint_eq(front.left, 0);
    ck_assert_str_eq(read_all(front.clients[0]->fd), "hello");
    close(fd);
    end();
}
END_TEST

START_TEST(an_event_of_an_earlier_client_does_not_reach_a_later_one) {
    arrange();
    int fd = dial();
    turn(20);
    /* A starting child process may hold a duplicate for a moment: the watch then goes on. */
    int duplicate = dup(front.clients[0]->fd);
    close_client(0);
    int later = dial();
    turn(20);
    ck_assert_uint_eq(front.entered, 2);
    shutdown(fd, SHUT_WR);
    turn(20);
    ck_assert_uint_eq(front.left, 0);
    ck_assert_int_eq(front.clients[1]->presence, EDGE_HERE);
    close(duplicate);
    close(fd);
    close(later);
    end();
}
END_TEST

START_TEST(above_the_limit_are_places_for_probes_and_then_an_answer_and_the_end) {
    arrange();
    int fds[4];
    for (int i = 0; i < 4; i++) fds[i] = dial();
    turn(20);
    ck_assert_uint_eq(front.entered, 3);
    ck_assert_int_eq(front.clients[1]->room, EDGE_ROOM_ALL);
    ck_assert_int_eq(front.clients[2]->room, EDGE_ROOM_PROBES);
    ck_assert_str_eq(read_all(fds[3]), "full");
    ck_assert(at_end(fds[3]));
    for (int i = 0; i < 4; i++) close(fds[i]);
    end();
}
END_TEST

START_TEST(a_place_is_free_again_once_its_client_is_forgotten) {
    arrange();
    for (size_t round = 0; round < PLACES; round++) {
        int fd = dial();
        turn(5);
        ck_assert_uint_eq(front.entered, round + 1);
        ck_assert_int_eq(front.clients[round]->room, EDGE_ROOM_ALL);
        close_client(round);
        close(fd);
    }
    end();
}
END_TEST

START_TEST(a_client_that_says_nothing_is_told_so_and_shut_out) {
    arrange();
    int silent = dial(), heard = dial();
    turn(20);
    edge_phase(edge, front.clients[1], EDGE_WORKING);
    turn(700);
    ck_assert_str_eq(read_all(silent), "slow");
    ck_assert(at_end(silent));
    ck_assert(at_end(front.clients[0]->fd));
    ck_assert(!at_end(front.clients[1]->fd));
    close(silent);
    close(heard);
    end();
}
END_TEST

START_TEST(an_answer_survives_the_bytes_that_come_after_it) {
    arrange();
    int fd = dial();
    turn(20);
    ck_assert_int_eq(write(fd, "unread", 6), 6);
    edge_linger(front.clients[0]);
    ck_assert_int_eq(write(front.clients[0]->fd, "no", 2), 2);
    close_client(0);
    turn(20);
    ck_assert_int_eq(write(fd, "more", 4), 4);
    turn(20);
    ck_assert_str_eq(read_all(fd), "no");
    ck_assert(at_end(fd)); /* FIN, no reset */
    close(fd);
    turn(20);
    end();
}
END_TEST

START_TEST(running_out_of_descriptors_refuses_and_recovers) {
    arrange();
    int waiting = dial(), next = dup(0);
    close(next);
    struct rlimit limit, none;
    getrlimit(RLIMIT_NOFILE, &limit);
    none = limit;
    none.rlim_cur = (rlim_t)next;
    setrlimit(RLIMIT_NOFILE, &none);
    turn(30);
    ck_assert_uint_eq(front.entered, 0);
    ck_assert_str_eq(read_all(waiting), "full");
    setrlimit(RLIMIT_NOFILE, &limit);
    int fd = dial();
    turn(150);
    ck_assert_uint_eq(front.entered, 1);
    close(waiting);
    close(fd);
    end();
}
END_TEST

START_TEST(after_stop_listening_the_kernel_refuses) {
    arrange();
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(edge_port(edge))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    edge_stop_listening(edge);
    edge_stop_listening(edge);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof address), -1);
    ck_assert_int_eq(errno, ECONNREFUSED);
    close(fd);
    end();
}
END_TEST

START_TEST(an_address_that_is_taken_or_is_none_cannot_be_opened) {
    arrange();
    struct edge *first = edge;
    ck_assert_int_eq(open_edge("127.0.0.1", edge_port(first)), INVALID_REQUEST);
    ck_assert_int_eq(errno, EADDRINUSE);
    ck_assert_int_eq(open_edge("localhost", 0), INVALID_REQUEST);
    ck_assert_int_eq(errno, EADDRNOTAVAIL);
    edge = first;
    end();
}
END_TEST

/* --- what clients owe --- */

START_TEST(half_a_header_and_a_fin_end_at_once) {
    choose_options();
    options.header_timeout_ns = 10 * CLOCK_S;
    open_it();
    int fd = dial();
    ck_assert_int_eq(write(fd, "GET /", 5), 5);
    turn(20);
    shutdown(fd, SHUT_WR);
    turn(600);
    ck_assert(at_end(fd));
    close(fd);
    end();
}
END_TEST

START_TEST(half_a_second_header_has_its_time_too) {
    arrange();
    int fd = dial(), idle = dial();
    turn(20);
    for (int i = 0; i < 2; i++) edge_phase(edge, front.clients[i], EDGE_WORKING);
    for (int i = 0; i < 2; i++) edge_phase(edge, front.clients[i], EDGE_BETWEEN);
    turn(50);
    ck_assert_int_eq(write(fd, "GET /", 5), 5);
    turn(1500);
    ck_assert_str_eq(read_all(fd), "slow");
    ck_assert(at_end(fd));
    ck_assert(!at_end(idle)); /* it owes nothing */
    ck_assert_uint_eq(counted("header_timeout"), 1);
    close(fd);
    close(idle);
    end();
}
END_TEST

START_TEST(an_address_has_no_more_than_its_connections) {
    choose_options();
    options.max_connections = PLACES;
    options.max_per_address = 2;
    open_it();
    int fds[3];
    for (int i = 0; i < 3; i++) fds[i] = dial();
    turn(20);
    ck_assert_uint_eq(front.entered, 2);
    ck_assert_str_eq(read_all(fds[2]), "address");
    ck_assert(at_end(fds[2]));
    ck_assert_uint_eq(counted("address_full"), 1);
    close_client(0);
    int again = dial();
    turn(20);
    ck_assert_uint_eq(front.entered, 3);
    close(again);
    for (int i = 0; i < 3; i++) close(fds[i]);
    end();
}
END_TEST

START_TEST(a_body_that_comes_too_slowly_is_refused) {
    choose_options();
    options.min_rate = 1024;
    options.header_timeout_ns = 60 * CLOCK_S;
    open_it();
    int slow = dial(), waits = dial();
    turn(20);
    edge_phase(edge, front.clients[0], EDGE_SENDING);
    edge_phase(edge, front.clients[1], EDGE_WORKING);
    for (int i = 0; i < 7; i++) {
        char thrown_away[8];
        (void)!write(slow, "x", 1);
        turn(10);
        (void)!recv(front.fds[0], thrown_away, sizeof thrown_away, MSG_DONTWAIT);
        turn(990);
    }
    ck_assert_str_eq(read_all(slow), "sender");
    ck_assert_uint_eq(counted("slow_sender"), 1);
    ck_assert(!at_end(waits));
    close(slow);
    close(waits);
    end();
}
END_TEST

/* --- proxies --- */

static const char *const loopback_proxies[] = {"127.0.0.0/8", NULL};

static void expect_address(const struct edge_client *client, const char *text) {
    char written[ADDRESS_TEXT_BYTES];
    address_write(&client->address, written);
    ck_assert_str_eq(written, text);
}

START_TEST(a_trusted_proxy_says_whose_connection_it_brings) {
    choose_options();
    options.trusted_proxies = loopback_proxies;
    open_it();
    int fd = dial();
    const char *header = "PROXY TCP4 203.0.113.9 127.0.0.1 4711 80\r\n";
    ck_assert_int_eq(write(fd, header, 20), 20);
    turn(20);
    ck_assert_uint_eq(front.entered, 0);
    ck_assert_int_gt(write(fd, header + 20, strlen(header) - 20), 0);
    ck_assert_int_eq(write(fd, "hello", 5), 5);
    turn(20);
    ck_assert_uint_eq(front.entered, 1);
    expect_address(front.clients[0], "203.0.113.9:4711");
    ck_assert_str_eq(read_all(front.fds[0]), "hello");
    close(fd);
    end();
}
END_TEST

START_TEST(a_trusted_proxy_may_also_speak_for_itself) {
    choose_options();
    options.trusted_proxies = loopback_proxies;
    open_it();
    int fd = dial(), broken = dial();
    ck_assert_int_eq(write(fd, "POST /", 6), 6);
    ck_assert_int_gt(write(broken, "PROXY NONSENSE x\r\n", 18), 0);
    turn(20);
    ck_assert_uint_eq(front.entered, 1);
    ck_assert_str_eq(read_all(front.fds[0]), "POST /");
    ck_assert(edge_trusts(edge, &front.clients[0]->address));
    ck_assert_str_eq(read_all(broken), "proxy");
    ck_assert_uint_eq(counted("proxy_header"), 1);
    close(fd);
    close(broken);
    end();
}
END_TEST

START_TEST(a_proxy_that_says_nothing_is_not_waited_for_longer) {
    choose_options();
    options.trusted_proxies = loopback_proxies;
    open_it();
    int fd = dial();
    turn(700);
    ck_assert_uint_eq(front.entered, 0);
    ck_assert_str_eq(read_all(fd), "slow");
    ck_assert(at_end(fd));
    close(fd);
    end();
}
END_TEST

/* --- relayed --- */

static void arrange_relayed(enum edge_service service) {
    choose_options();
    options.service = service;
    open_it();
}

START_TEST(a_relayed_clients_bytes_reach_the_library_and_back) {
    arrange_relayed(EDGE_GUARDED_HTTP);
    int fd = dial();
    const char *request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    ck_assert_int_gt(write(fd, request, strlen(request)), 0);
    turn(20);
    ck_assert_int_ne(front.fds[0], front.clients[0]->fd);
    ck_assert_str_eq(read_all(front.fds[0]), request);
    edge_phase(edge, front.clients[0], EDGE_WORKING);
    ck_assert_int_eq(write(front.fds[0], "answer", 6), 6);
    turn(20);
    ck_assert_str_eq(read_all(fd), "answer");
    close_client(0);
    turn(20);
    ck_assert(at_end(fd));
    close(fd);
    end();
}
END_TEST

START_TEST(a_client_that_breaks_the_rules_still_gets_the_answers_it_is_owed) {
    arrange_relayed(EDGE_GUARDED_HTTP);
    int fd = dial();
    const char *requests = "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost : b\r\n\r\n";
    ck_assert_int_gt(write(fd, requests, strlen(requests)), 0);
    turn(20);
    edge_phase(edge, front.clients[0], EDGE_WORKING);
    turn(20);
    ck_assert_str_eq(read_all(fd), "");
    edge_phase(edge, front.clients[0], EDGE_TAKING);
    ck_assert_int_eq(write(front.fds[0], "answer ", 7), 7);
    edge_phase(edge, front.clients[0], EDGE_BETWEEN);
    turn(20);
    const char *answers = read_all(fd);
    ck_assert_msg(strncmp(answers, "answer invalid_request ", 23) == 0, "%s", answers);
    ck_assert(at_end(fd));
    ck_assert(strstr(read_all(front.fds[0]), "Host : b") == NULL);
    ck_assert_int_eq(front.presence, EDGE_GONE);
    ck_assert_uint_eq(counted("http_field"), 1);
    close(fd);
    end();
}
END_TEST

START_TEST(a_relayed_client_that_leaves_is_seen) {
    arrange_relayed(EDGE_GUARDED_HTTP);
    int half = dial(), hard = dial();
    turn(20);
    shutdown(half, SHUT_WR);
    struct linger linger = {.l_onoff = 1};
    setsockopt(hard, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    close(hard);
    turn(20);
    ck_assert_int_eq(front.clients[0]->presence, EDGE_HALF_CLOSED);
    ck_assert_int_eq(front.clients[1]->presence, EDGE_GONE);
    ck_assert(at_end(front.fds[0]) && at_end(front.fds[1]));
    close(half);
    end();
}
END_TEST

START_TEST(what_the_library_left_behind_is_brought_after_it_was_closed) {
    arrange_relayed(EDGE_GUARDED_HTTP);
    int fd = dial();
    turn(20);
    edge_phase(edge, front.clients[0], EDGE_WORKING);
    ck_assert_int_eq(write(front.fds[0], "late", 4), 4);
    close_client(0);
    edge_close(edge);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    ck_assert_str_eq(read_all(fd), "late");
    ck_assert(at_end(fd));
    close(fd);
    metrics_close(metrics);
}
END_TEST

START_TEST(an_http2_client_that_does_not_greet_is_ended) {
    arrange_relayed(EDGE_GUARDED_H2);
    int silent = dial(), greets = dial();
    const char greeting[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
    ck_assert_int_gt(write(greets, greeting, sizeof greeting - 1), 0);
    ck_assert_int_eq(write(silent, greeting, 20), 20);
    turn(700);
    ck_assert_str_eq(read_all(silent), "slow");
    ck_assert(at_end(silent));
    ck_assert(!at_end(greets));
    ck_assert_uint_eq(counted("header_timeout"), 1);
    close(silent);
    close(greets);
    end();
}
END_TEST

static void open_inherited(int fd) {
    choose_options();
    options.inherited_fd = fd;
    uv_loop_init(&loop);
    ck_assert_int_eq(edge_open(&edge, &loop, &options, &door, &front), OK);
}

START_TEST(a_socket_that_was_bound_before_is_listened_on_and_refuses_after_the_end) {
    int fd = edge_bind("127.0.0.1", 0);
    ck_assert_int_gt(fd, 2);
    open_inherited(fd);
    ck_assert_uint_ne(edge_port(edge), 0);
    int client = dial();
    turn(20);
    ck_assert_uint_eq(front.entered, 1);
    edge_stop_listening(edge);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(edge_port(edge))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int late = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(connect(late, (struct sockaddr *)&address, sizeof address), -1);
    ck_assert_int_eq(errno, ECONNREFUSED);
    close(late);
    close(client);
    end();
}
END_TEST

START_TEST(a_socket_that_listens_already_goes_on_listening_for_who_comes_next) {
    int fd = edge_bind("127.0.0.1", 0);
    ck_assert_int_eq(listen(fd, 5), 0);
    int theirs = dup(fd); /* as the service manager keeps it */
    open_inherited(fd);
    edge_stop_listening(edge);
    int late = dial();
    turn(20);
    ck_assert_uint_eq(front.entered, 0);
    end();
    int accepted = accept4(theirs, NULL, NULL, SOCK_CLOEXEC);
    ck_assert_int_ge(accepted, 0);
    close(accepted);
    close(late);
    close(theirs);
}
END_TEST

/* Writes as the library until nothing more is taken, all the way to the client. */
static void fill(int library, const void *bytes, size_t count) {
    for (int stuck = 0; stuck < 50; stuck++) {
        while (send(library, bytes, count, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)count)
            stuck = 0;
        turn(1);
    }
}

START_TEST(an_http2_reader_that_takes_nothing_is_cut) {
    choose_options();
    options.service = EDGE_GUARDED_H2;
    options.reader_stall_ns = 300 * CLOCK_MS;
    open_it();
    int fd = dial();
    static const char greeting[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
    static const char settings[9] = "\0\0\0\4\0\0\0\0\0";
    static const char data[9 + 1024] = "\0\4\0\0\0\0\0\0\1"; /* the length is 1024 */
    ck_assert_int_gt(write(fd, greeting, sizeof greeting - 1), 0);
    turn(20);
    ck_assert_int_eq(write(front.fds[0], settings, sizeof settings), sizeof settings);
    fill(front.fds[0], data, sizeof data);
    turn(5500);
    ck_assert_uint_eq(counted("slow_reader"), 1);
    ck_assert_int_eq(front.presence, EDGE_GONE);
    close(fd);
    end();
}
END_TEST

SUITE("gateway/edge", 20, a_client_that_sends_fin_has_half_closed,
      who_has_flooded_waits_in_the_tarpit_and_comes_in_one_by_one,
      a_client_that_leaves_the_tarpit_early_and_one_too_many_leave_no_trace,
      a_client_that_resets_is_gone_also_after_a_fin,
      bytes_that_arrive_are_none_of_the_edges_business,
      an_event_of_an_earlier_client_does_not_reach_a_later_one,
      above_the_limit_are_places_for_probes_and_then_an_answer_and_the_end,
      a_place_is_free_again_once_its_client_is_forgotten,
      a_client_that_says_nothing_is_told_so_and_shut_out,
      an_answer_survives_the_bytes_that_come_after_it,
      running_out_of_descriptors_refuses_and_recovers, after_stop_listening_the_kernel_refuses,
      an_address_that_is_taken_or_is_none_cannot_be_opened, half_a_header_and_a_fin_end_at_once,
      half_a_second_header_has_its_time_too, an_address_has_no_more_than_its_connections,
      a_body_that_comes_too_slowly_is_refused, a_trusted_proxy_says_whose_connection_it_brings,
      a_trusted_proxy_may_also_speak_for_itself, a_proxy_that_says_nothing_is_not_waited_for_longer,
      a_relayed_clients_bytes_reach_the_library_and_back,
      a_client_that_breaks_the_rules_still_gets_the_answers_it_is_owed,
      a_relayed_client_that_leaves_is_seen,
      what_the_library_left_behind_is_brought_after_it_was_closed,
      an_http2_client_that_does_not_greet_is_ended, an_http2_reader_that_takes_nothing_is_cut,
      a_socket_that_was_bound_before_is_listened_on_and_refuses_after_the_end,
      a_socket_that_listens_already_goes_on_listening_for_who_comes_next)
