/* edge/tls: who may shake hands and who not, bytes in odd pieces, files that change while sessions live. */
#include "gateway/edge/tls.h"
#include "tests/gateway/paper.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <sys/socket.h>
#include <time.h>

static char folder[64], cert[96], key[96], client_ca[96], error_text[384];
static struct paper authority, stranger, own;
static struct tls *tls;
static struct tls_session *session;
static SSL_CTX *client_context;
static SSL *client;
static int ends[2]; /* ours, the client's */

/* --- the stage --- */

static void write_own(long serial) {
    paper_free(&own);
    own = paper_leaf("gateway", "DNS:localhost", serial, &authority);
    paper_write_certificate(cert, "w", own.certificate);
    paper_write_certificate(cert, "a", authority.certificate);
    paper_write_key(key, own.key, NULL);
}

static void open_stage(void) {
    signal(SIGPIPE, SIG_IGN);
    snprintf(folder, sizeof folder, "/tmp/test_tls.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(cert, sizeof cert, "%s/cert.pem", folder);
    snprintf(key, sizeof key, "%s/key.pem", folder);
    snprintf(client_ca, sizeof client_ca, "%s/ca.pem", folder);
    authority = paper_authority("authority");
    stranger = paper_authority("authority"); /* the same name, another key */
    paper_write_certificate(client_ca, "w", authority.certificate);
    write_own(7);
    client_context = SSL_CTX_new(TLS_client_method());
    X509_STORE_add_cert(SSL_CTX_get_cert_store(client_context), authority.certificate);
    SSL_CTX_set_verify(client_context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_mode(client_context, SSL_MODE_ENABLE_PARTIAL_WRITE);
}

static enum outcome try_open(const struct tls_options *options) {
    struct tls_error error;
    enum outcome outcome = tls_open(&tls, options, &error);
    snprintf(error_text, sizeof error_text, "%s", outcome == OK ? "" : error.text);
    return outcome;
}

static void open_tls(const char *ca, const char *const *names) {
    const struct tls_options options = {
        .cert = cert, .key = key, .client_ca = ca, .client_names = names, .protocol = "h2"};
    enum outcome outcome = try_open(&options);
    ck_assert_msg(outcome == OK, "%s", error_text);
}

static void connect_client(void) {
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    session = tls_session_new(tls, ends[0]);
    client = SSL_new(client_context);
    SSL_set_fd(client, ends[1]);
    SSL_set_connect_state(client);
}

static void part(void) {
    tls_session_free(session);
    SSL_free(client);
    if (ends[0] > 0) close(ends[0]);
    if (ends[1] > 0) close(ends[1]);
    session = NULL;
    client = NULL;
    ends[0] = ends[1] = 0;
}

static void close_stage(void) {
    part();
    tls_close(tls);
    tls = NULL;
    SSL_CTX_free(client_context);
    paper_free(&authority), paper_free(&stranger), paper_free(&own);
    unlink(cert), unlink(key), unlink(client_ca);
    ck_assert_int_eq(rmdir(folder), 0);
}

/* Turns both until the session has an answer. */
static enum tls_step shake(void) {
    enum tls_step step = TLS_WANTS_READ;
    for (int turn = 0; turn < 50 && step != TLS_DONE && step != TLS_FAILED; turn++) {
        SSL_do_handshake(client);
        step = tls_session_handshake(session);
    }
    SSL_do_handshake(client);
    ERR_clear_error();
    return step;
}

static enum tls_step meet(void) {
    connect_client();
    return shake();
}

static void assert_refused(const char *flaw, const char *detail) {
    ck_assert_int_eq(meet(), TLS_FAILED);
    ck_assert_str_eq(tls_session_flaw(session), flaw);
    ck_assert_msg(strstr(tls_session_detail(session), detail) != NULL, "%s",
                  tls_session_detail(session));
    char byte;
    size_t moved;
    ck_assert_int_eq(tls_session_read(session, &byte, 1, &moved), TLS_FAILED);
    ck_assert_uint_eq(moved, 0);
    part();
}

static void show(const struct paper *paper) {
    ck_assert_int_eq(SSL_CTX_use_certificate(client_context, paper->certificate), 1);
    ck_assert_int_eq(SSL_CTX_use_PrivateKey(client_context, paper->key), 1);
}

static void assert_client_refused(struct paper paper, const char *detail) {
    show(&paper);
    assert_refused("tls_certificate", detail);
    paper_free(&paper);
}

static void assert_client_enters(struct paper paper) {
    show(&paper);
    ck_assert_msg(meet() == TLS_DONE, "%s", tls_session_detail(session));
    part();
    paper_free(&paper);
}

/* --- versions and suites --- */

START_TEST(a_handshake_of_today_is_1_3_and_says_its_protocol) {
    open_stage();
    open_tls(NULL, NULL);
    SSL_CTX_set_alpn_protos(client_context, (const unsigned char *)"\x08http/1.1\x02h2", 12);
    ck_assert_int_eq(meet(), TLS_DONE);
    ck_assert_int_eq(SSL_version(client), TLS1_3_VERSION);
    const unsigned char *chosen;
    unsigned bytes;
    SSL_get0_alpn_selected(client, &chosen, &bytes);
    ck_assert_uint_eq(bytes, 2);
    ck_assert_mem_eq(chosen, "h2", 2);
    ck_assert_str_eq(tls_session_flaw(session), "");
    close_stage();
}
END_TEST

START_TEST(version_1_2_is_taken_with_aead_alone) {
    open_stage();
    open_tls(NULL, NULL);
    SSL_CTX_set_max_proto_version(client_context, TLS1_2_VERSION);
    ck_assert_int_eq(meet(), TLS_DONE);
    ck_assert_int_eq(SSL_CIPHER_is_aead(SSL_get_current_cipher(client)), 1);
    part();
    SSL_CTX_set_cipher_list(client_context, "ECDHE-ECDSA-AES256-SHA384:ECDHE-ECDSA-AES128-SHA");
    assert_refused("tls_cipher", "no shared cipher");
    SSL_CTX_set_security_level(client_context, 0);
    SSL_CTX_set_cipher_list(client_context, "aNULL:eNULL:PSK");
    assert_refused("tls_cipher", "no shared cipher");
    close_stage();
}
END_TEST

START_TEST(older_versions_are_refused) {
    open_stage();
    open_tls(NULL, NULL);
    SSL_CTX_set_security_level(client_context, 0);
    SSL_CTX_set_cipher_list(client_context, "ALL:@SECLEVEL=0");
    for (int version = TLS1_VERSION; version <= TLS1_1_VERSION; version++) {
        SSL_CTX_set_min_proto_version(client_context, version);
        SSL_CTX_set_max_proto_version(client_context, version);
        assert_refused("tls_version", "");
    }
    close_stage();
}
END_TEST

START_TEST(a_client_that_offers_protocols_without_ours_is_refused) {
    open_stage();
    open_tls(NULL, NULL);
    SSL_CTX_set_alpn_protos(client_context, (const unsigned char *)"\x08http/1.1", 9);
    assert_refused("tls_protocol", "");
    SSL_CTX_set_alpn_protos(client_context, (const unsigned char *)"\x03h2c", 4);
    assert_refused("tls_protocol", "");
    close_stage();
}
END_TEST

START_TEST(no_session_is_resumed_and_no_ticket_given) {
    open_stage();
    open_tls(NULL, NULL);
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        SSL_CTX_set_max_proto_version(client_context, version);
        ck_assert_int_eq(meet(), TLS_DONE);
        char byte;
        SSL_read(client, &byte, 1);
        SSL_SESSION *first = SSL_get1_session(client);
        ck_assert_int_eq(SSL_SESSION_has_ticket(first), 0);
        part();
        connect_client();
        SSL_set_session(client, first);
        ck_assert_int_eq(shake(), TLS_DONE);
        ck_assert_int_eq(SSL_session_reused(client), 0);
        SSL_SESSION_free(first);
        part();
    }
    close_stage();
}
END_TEST

START_TEST(a_wish_to_renegotiate_ends_the_session) {
    open_stage();
    open_tls(NULL, NULL);
    SSL_CTX_set_max_proto_version(client_context, TLS1_2_VERSION);
    ck_assert_int_eq(meet(), TLS_DONE);
    SSL_renegotiate(client);
    SSL_do_handshake(client);
    char byte;
    size_t moved;
    ck_assert_int_eq(tls_session_read(session, &byte, 1, &moved), TLS_FAILED);
    ck_assert_str_eq(tls_session_flaw(session), "tls_renegotiation");
    close_stage();
}
END_TEST

START_TEST(new_keys_again_and_again_end_the_session) {
    open_stage();
    open_tls(NULL, NULL);
    ck_assert_int_eq(meet(), TLS_DONE);
    enum tls_step step = TLS_WANTS_READ;
    int updates = 0;
    for (; updates < 200 && step == TLS_WANTS_READ; updates++) {
        char byte;
        size_t moved;
        SSL_key_update(client, SSL_KEY_UPDATE_REQUESTED);
        SSL_do_handshake(client);
        step = tls_session_read(session, &byte, 1, &moved);
        SSL_read(client, &byte, 1);
    }
    ck_assert_int_eq(step, TLS_FAILED);
    ck_assert_str_eq(tls_session_flaw(session), "tls_key_updates");
    ck_assert_int_eq(updates, 101);
    close_stage();
}
END_TEST

/* --- what is no hello --- */

static void assert_flaw_of_bytes(const void *bytes, size_t count, const char *flaw) {
    connect_client();
    ck_assert_int_eq(write(ends[1], bytes, count), count);
    shutdown(ends[1], SHUT_WR);
    enum tls_step step = tls_session_handshake(session);
    ck_assert_int_eq(step, TLS_FAILED);
    ck_assert_str_eq(tls_session_flaw(session), flaw);
    ck_assert_int_eq(tls_session_goodbye(session), TLS_FAILED);
    part();
}

START_TEST(plain_text_is_known_as_such) {
    open_stage();
    open_tls(NULL, NULL);
    static const char request[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    assert_flaw_of_bytes(request, sizeof request - 1, "tls_plain");
    assert_flaw_of_bytes(preface, sizeof preface - 1, "tls_plain");
    assert_flaw_of_bytes("\0\0\0\0\0\0\0\0\0\0\0", 11, "tls_plain");
    close_stage();
}
END_TEST

START_TEST(a_hello_that_is_cut_anywhere_is_a_failure_and_nothing_else) {
    open_stage();
    open_tls(NULL, NULL);
    connect_client();
    SSL_do_handshake(client);
    char hello[2048];
    ssize_t count = read(ends[0], hello, sizeof hello);
    ck_assert_int_gt(count, 100);
    part();
    for (size_t cut = 0; cut < (size_t)count; cut++) assert_flaw_of_bytes(hello, cut, "tls_cut");
    close_stage();
}
END_TEST

START_TEST(a_hello_that_comes_byte_by_byte_is_waited_for) {
    open_stage();
    open_tls(NULL, NULL);
    connect_client();
    SSL_do_handshake(client);
    char hello[2048];
    ssize_t count = read(ends[0], hello, sizeof hello);
    for (ssize_t i = 0; i < count; i++) {
        ck_assert_int_eq(tls_session_handshake(session), TLS_WANTS_READ);
        ck_assert_int_eq(write(ends[1], hello + i, 1), 1);
    }
    ck_assert_int_eq(shake(), TLS_DONE);
    close_stage();
}
END_TEST

START_TEST(a_hello_with_one_changed_byte_never_breaks_us) {
    open_stage();
    open_tls(NULL, NULL);
    connect_client();
    SSL_do_handshake(client);
    unsigned char hello[2048];
    ssize_t count = read(ends[0], hello, sizeof hello);
    part();
    for (ssize_t i = 0; i < count; i++) {
        connect_client();
        hello[i] ^= 0xff;
        ck_assert_int_eq(write(ends[1], hello, (size_t)count), count);
        hello[i] ^= 0xff;
        shutdown(ends[1], SHUT_WR);
        enum tls_step step = tls_session_handshake(session);
        ck_assert(step == TLS_FAILED || step == TLS_WANTS_READ);
        ck_assert_int_ne(tls_session_handshake(session), TLS_DONE);
        part();
    }
    close_stage();
}
END_TEST

/* --- who the client is --- */

START_TEST(a_client_enters_with_a_certificate_of_the_right_authority_alone) {
    open_stage();
    open_tls(client_ca, NULL);
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        SSL_CTX_set_max_proto_version(client_context, version);
        assert_client_enters(paper_leaf("client", NULL, 20, &authority));
        assert_client_refused(paper_leaf("client", NULL, 21, &stranger), "signature failure");
        assert_client_refused(paper_leaf("client", NULL, 22, NULL), "self-signed");
        struct paper_wish wish = {.name = "client", .serial = 23, .signer = &authority};
        wish.from = -2 * PAPER_DAY, wish.until = -PAPER_DAY;
        assert_client_refused(paper_make(wish), "expired");
        wish.from = PAPER_DAY, wish.until = 2 * PAPER_DAY;
        assert_client_refused(paper_make(wish), "not yet valid");
    }
    close_stage();
}
END_TEST

START_TEST(a_client_without_a_certificate_is_refused) {
    open_stage();
    open_tls(client_ca, NULL);
    assert_refused("tls_certificate", "did not return a certificate");
    SSL_CTX_set_max_proto_version(client_context, TLS1_2_VERSION);
    assert_refused("tls_certificate", "did not return a certificate");
    close_stage();
}
END_TEST

START_TEST(a_clients_certificate_that_signs_another_is_no_authority) {
    open_stage();
    open_tls(client_ca, NULL);
    struct paper leaf = paper_leaf("client", NULL, 30, &authority);
    struct paper below = paper_leaf("below", NULL, 31, &leaf);
    SSL_CTX_add1_chain_cert(client_context, leaf.certificate);
    assert_client_refused(below, "unable to get local issuer");
    paper_free(&leaf);
    close_stage();
}
END_TEST

START_TEST(names_are_compared_exactly) {
    open_stage();
    static const char *const names[] = {"worker.example", "spiffe://example/app", "ops@example",
                                        NULL};
    open_tls(client_ca, names);
    assert_client_enters(paper_leaf("a", "DNS:other.example,DNS:worker.example", 40, &authority));
    assert_client_enters(paper_leaf("a", "DNS:WORKER.example", 41, &authority));
    assert_client_enters(paper_leaf("a", "URI:spiffe://example/app", 42, &authority));
    assert_client_enters(paper_leaf("a", "email:ops@example", 43, &authority));
    static const char *const wrong[] = {"DNS:worker.example.org",
                                        "DNS:a.worker.example",
                                        "DNS:*.example",
                                        "DNS:spiffe://example/app",
                                        "URI:spiffe://example/app/2",
                                        "URI:spiffe://EXAMPLE/app",
                                        "email:root@example",
                                        "otherName:1.2.3.4;UTF8:ops@example",
                                        "IP:127.0.0.1"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        bool same_text = strcmp(wrong[i], "DNS:spiffe://example/app") == 0;
        if (same_text) continue; /* a kind is not told apart: the text is what is allowed */
        assert_client_refused(paper_leaf("a", wrong[i], 44, &authority), "client_names");
    }
    /* The common name is not a name that is looked at. */
    assert_client_refused(paper_leaf("worker.example", NULL, 45, &authority), "client_names");
    close_stage();
}
END_TEST

START_TEST(a_name_with_a_zero_byte_inside_is_not_its_beginning) {
    open_stage();
    static const char *const names[] = {"worker.example", NULL};
    open_tls(client_ca, names);
    struct paper paper = paper_leaf("a", NULL, 50, &authority);
    GENERAL_NAMES *list = GENERAL_NAMES_new();
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_IA5STRING *text = ASN1_IA5STRING_new();
    ASN1_STRING_set(text, "worker.example\0.evil", 20);
    GENERAL_NAME_set0_value(name, GEN_DNS, text);
    sk_GENERAL_NAME_push(list, name);
    X509_add1_ext_i2d(paper.certificate, NID_subject_alt_name, list, 0, 0);
    X509_sign(paper.certificate, authority.key, EVP_sha256());
    GENERAL_NAMES_free(list);
    assert_client_refused(paper, "client_names");
    close_stage();
}
END_TEST

START_TEST(who_is_revoked_is_refused) {
    open_stage();
    paper_append_revocations(client_ca, &authority, 60);
    open_tls(client_ca, NULL);
    assert_client_refused(paper_leaf("gone", NULL, 60, &authority), "revoked");
    assert_client_enters(paper_leaf("here", NULL, 61, &authority));
    close_stage();
}
END_TEST

START_TEST(a_list_counts_for_its_own_authority_and_the_signer_must_have_one) {
    open_stage();
    struct paper middle = paper_make((struct paper_wish){.name = "middle",
                                                         .serial = 70,
                                                         .from = -PAPER_DAY,
                                                         .until = PAPER_DAY,
                                                         .ca = 1,
                                                         .signer = &authority});
    paper_write_certificate(client_ca, "a", middle.certificate);
    paper_append_revocations(client_ca, &middle, 71);
    open_tls(client_ca, NULL);
    assert_client_refused(paper_leaf("gone", NULL, 71, &middle), "revoked");
    assert_client_enters(paper_leaf("here", NULL, 72, &middle));
    assert_client_refused(paper_leaf("unknown", NULL, 73, &authority), "CRL");
    paper_free(&middle);
    close_stage();
}
END_TEST

/* --- bytes --- */

#define MUCH (10U * 1024 * 1024)

static unsigned char pattern(size_t at) {
    return (unsigned char)(at * 2654435761U >> 13);
}

static void fill(unsigned char *bytes, size_t at, size_t count) {
    for (size_t i = 0; i < count; i++) bytes[i] = pattern(at + i);
}

static void assert_pattern(const unsigned char *bytes, size_t at, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (bytes[i] != pattern(at + i)) ck_abort_msg("wrong byte at %zu", at + i);
}

struct way {
    size_t sent, come, turn;
    unsigned waits;
};

/* A buffer of its own each time: a write that waits may come from another place. */
static void send_some(struct way *way) {
    size_t count = 1 + way->turn++ * 7919 % 50000, moved;
    if (way->sent + count > MUCH) count = MUCH - way->sent;
    static size_t again;
    if (again > count) count = again;
    unsigned char *bytes = malloc(count + 1);
    fill(bytes, way->sent, count);
    enum tls_step step = count > 0 ? tls_session_write(session, bytes, count, &moved) : TLS_DONE;
    free(bytes);
    if (count == 0) return;
    ck_assert(step == TLS_DONE || step == TLS_WANTS_WRITE);
    again = step == TLS_DONE ? 0 : count;
    way->waits += step != TLS_DONE;
    way->sent += moved;
}

static void take_some(struct way *way) {
    static unsigned char bytes[40000];
    size_t moved;
    enum tls_step step =
        tls_session_read(session, bytes, 1 + way->turn++ * 104729 % sizeof bytes, &moved);
    ck_assert(step == TLS_DONE || step == TLS_WANTS_READ);
    assert_pattern(bytes, way->come, moved);
    way->waits += step != TLS_DONE;
    way->come += moved;
}

static void client_takes(struct way *way) {
    static unsigned char bytes[30000];
    size_t moved = 0;
    SSL_read_ex(client, bytes, 1 + way->turn * 31 % sizeof bytes, &moved);
    assert_pattern(bytes, way->come, moved);
    way->come += moved;
}

static void client_sends(struct way *way) {
    static unsigned char bytes[20000];
    size_t count = MUCH - way->sent < sizeof bytes ? MUCH - way->sent : sizeof bytes, moved = 0;
    fill(bytes, way->sent, count);
    if (count > 0) SSL_write_ex(client, bytes, count, &moved);
    way->sent += moved;
}

START_TEST(ten_megabytes_go_both_ways_in_odd_pieces) {
    open_stage();
    open_tls(NULL, NULL);
    ck_assert_int_eq(meet(), TLS_DONE);
    struct way out = {0}, in = {0};
    for (int turn = 0; turn < 1000000 && (out.come < MUCH || in.come < MUCH); turn++) {
        if (out.sent < MUCH) send_some(&out);
        if (turn % 5 != 0) client_takes(&out);
        if (turn % 3 != 0) client_sends(&in);
        take_some(&in);
    }
    ck_assert_uint_eq(out.come, MUCH);
    ck_assert_uint_eq(in.come, MUCH);
    ck_assert_uint_gt(out.waits, 0); /* else it was no test of waiting */
    ck_assert_uint_gt(in.waits, 0);
    close_stage();
}
END_TEST

START_TEST(what_was_read_ahead_is_told) {
    open_stage();
    open_tls(NULL, NULL);
    ck_assert_int_eq(meet(), TLS_DONE);
    ck_assert(!tls_session_holds(session));
    ck_assert_int_eq(SSL_write(client, "first", 5), 5);
    ck_assert_int_eq(SSL_write(client, "second", 6), 6);
    char bytes[16];
    size_t moved;
    ck_assert_int_eq(tls_session_read(session, bytes, sizeof bytes, &moved), TLS_DONE);
    ck_assert_uint_eq(moved, 5);
    ck_assert_int_eq(recv(ends[0], bytes, 1, MSG_PEEK), -1); /* the socket would not wake us */
    ck_assert(tls_session_holds(session));
    ck_assert_int_eq(tls_session_read(session, bytes, sizeof bytes, &moved), TLS_DONE);
    ck_assert_uint_eq(moved, 6);
    ck_assert_int_eq(tls_session_read(session, bytes, sizeof bytes, &moved), TLS_WANTS_READ);
    ck_assert(!tls_session_holds(session));
    close_stage();
}
END_TEST

START_TEST(a_goodbye_ends_properly_and_a_cut_does_not) {
    open_stage();
    open_tls(NULL, NULL);
    char byte;
    size_t moved;
    ck_assert_int_eq(meet(), TLS_DONE);
    SSL_shutdown(client);
    ck_assert_int_eq(tls_session_read(session, &byte, 1, &moved), TLS_ENDED);
    ck_assert_int_eq(tls_session_write(session, "late", 4, &moved),
                     TLS_DONE); /* it may still read */
    ck_assert_int_eq(SSL_read(client, &byte, 1), 1);
    part();
    ck_assert_int_eq(meet(), TLS_DONE);
    shutdown(ends[1], SHUT_WR);
    ck_assert_int_eq(tls_session_read(session, &byte, 1, &moved), TLS_FAILED);
    ck_assert_str_eq(tls_session_flaw(session), "tls_cut");
    close_stage();
}
END_TEST

START_TEST(our_goodbye_reaches_the_client_and_its_last_bytes_are_still_read) {
    open_stage();
    open_tls(NULL, NULL);
    char byte;
    size_t moved;
    ck_assert_int_eq(meet(), TLS_DONE);
    ck_assert_int_eq(tls_session_goodbye(session), TLS_DONE);
    int result = SSL_read(client, &byte, 1);
    ck_assert_int_eq(SSL_get_error(client, result), SSL_ERROR_ZERO_RETURN);
    ck_assert_int_eq(SSL_write(client, "x", 1), 1);
    ck_assert_int_eq(tls_session_read(session, &byte, 1, &moved), TLS_DONE);
    ck_assert_uint_eq(moved, 1);
    close_stage();
}
END_TEST

START_TEST(a_client_that_vanished_is_a_failure_of_the_write) {
    open_stage();
    open_tls(NULL, NULL);
    ck_assert_int_eq(meet(), TLS_DONE);
    close(ends[1]);
    ends[1] = 0;
    size_t moved;
    ck_assert_int_eq(tls_session_write(session, "x", 1, &moved), TLS_FAILED);
    ck_assert_str_eq(tls_session_flaw(session), "tls_reset");
    close_stage();
}
END_TEST

/* --- files --- */

static long serial_seen(void) {
    ck_assert_int_eq(meet(), TLS_DONE);
    long serial = ASN1_INTEGER_get(X509_get0_serialNumber(SSL_get0_peer_certificate(client)));
    part();
    return serial;
}

static void assert_reload_refused(enum tls_file file, const char *why) {
    struct tls_error error;
    ck_assert_int_eq(tls_reload(tls, &error), INVALID_REQUEST);
    ck_assert_int_eq(error.file, file);
    ck_assert_msg(strstr(error.text, why) != NULL, "%s", error.text);
    ck_assert_int_eq(serial_seen(), 7);
}

START_TEST(a_reload_is_for_new_sessions_and_old_ones_live_on) {
    open_stage();
    open_tls(NULL, NULL);
    ck_assert_int_eq(meet(), TLS_DONE);
    struct tls_session *old_session = session;
    SSL *old_client = client;
    int old_ends[] = {ends[0], ends[1]};
    write_own(8);
    struct tls_error error;
    ck_assert_int_eq(tls_reload(tls, &error), OK);
    ck_assert_int_eq(serial_seen(), 8);
    char byte = 0;
    size_t moved;
    ck_assert_int_eq(SSL_write(old_client, "x", 1), 1);
    ck_assert_int_eq(tls_session_read(old_session, &byte, 1, &moved), TLS_DONE);
    ck_assert_int_eq(byte, 'x');
    tls_close(tls); /* sessions may outlive it */
    tls = NULL;
    ck_assert_int_eq(tls_session_write(old_session, "y", 1, &moved), TLS_DONE);
    ck_assert_int_eq(SSL_read(old_client, &byte, 1), 1);
    session = old_session, client = old_client, ends[0] = old_ends[0], ends[1] = old_ends[1];
    close_stage();
}
END_TEST

START_TEST(a_broken_reload_says_why_and_keeps_the_old) {
    open_stage();
    open_tls(client_ca, NULL);
    struct paper me = paper_leaf("client", NULL, 80, &authority);
    show(&me);
    struct paper other = paper_leaf("other", NULL, 81, &authority);
    struct paper_wish wish = {.name = "late", .serial = 82, .key = own.key, .signer = &authority};
    wish.from = -2 * PAPER_DAY, wish.until = -PAPER_DAY;
    struct paper late = paper_make(wish);
    wish.from = PAPER_DAY, wish.until = 2 * PAPER_DAY;
    struct paper early = paper_make(wish);

    paper_write_text(cert, "nonsense");
    assert_reload_refused(TLS_CERT, "holds no certificate");
    paper_write_certificate(cert, "w", late.certificate);
    assert_reload_refused(TLS_CERT, "is expired");
    paper_write_certificate(cert, "w", early.certificate);
    assert_reload_refused(TLS_CERT, "not valid yet");
    paper_write_certificate(cert, "w", other.certificate);
    assert_reload_refused(TLS_KEY, "does not belong to");
    paper_write_certificate(cert, "w", own.certificate);
    FILE *file = paper_file(cert, "a");
    fputs("-----BEGIN CERTIFICATE-----\nMIIB", file);
    fclose(file);
    assert_reload_refused(TLS_CERT, "is broken");
    unlink(cert);
    assert_reload_refused(TLS_CERT, "No such file");
    paper_write_certificate(cert, "w", own.certificate);
    paper_write_text(key, "");
    assert_reload_refused(TLS_KEY, "holds no private key");
    paper_write_key(key, own.key, "pass");
    assert_reload_refused(TLS_KEY, "encrypted");
    paper_write_key(key, own.key, NULL);
    paper_write_text(client_ca, "");
    assert_reload_refused(TLS_CLIENT_CA, "no certificate");
    paper_write_key(client_ca, own.key, NULL);
    assert_reload_refused(TLS_CLIENT_CA, "no certificate");

    paper_free(&me), paper_free(&other), paper_free(&late), paper_free(&early);
    close_stage();
}
END_TEST

START_TEST(a_key_that_others_can_read_is_refused) {
    open_stage();
    bool root = geteuid() == 0;
    static const struct {
        mode_t mode;
        bool mine, roots;
    } rows[] = {{0600, true, true},   {0400, true, true},   {0640, false, true},
                {0440, false, true},  {0660, false, false}, {0644, false, false},
                {0604, false, false}, {0610, false, false}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct tls_options options = {.cert = cert, .key = key, .protocol = "h2"};
        chmod(key, rows[i].mode);
        bool fits = root ? rows[i].roots : rows[i].mine;
        ck_assert_msg((try_open(&options) == OK) == fits, "%o: %s", rows[i].mode, error_text);
        if (!fits) ck_assert_ptr_nonnull(strstr(error_text, "can read the key"));
        tls_close(tls);
        tls = NULL;
    }
    if (root) {
        const struct tls_options options = {.cert = cert, .key = key, .protocol = "h2"};
        chmod(key, 0600);
        ck_assert_int_eq(chown(key, 12345, 0), 0);
        ck_assert_int_eq(try_open(&options), INVALID_REQUEST);
        ck_assert_ptr_nonnull(strstr(error_text, "belongs to user 12345"));
    }
    close_stage();
}
END_TEST

START_TEST(a_weak_certificate_is_refused) {
    open_stage();
    EVP_PKEY *weak = EVP_RSA_gen(1024);
    struct paper paper = paper_make((struct paper_wish){.name = "weak",
                                                        .serial = 1,
                                                        .from = -PAPER_DAY,
                                                        .until = PAPER_DAY,
                                                        .signer = &authority,
                                                        .key = weak});
    paper_write_certificate(cert, "w", paper.certificate);
    paper_write_key(key, weak, NULL);
    const struct tls_options options = {.cert = cert, .key = key, .protocol = "h2"};
    ck_assert_int_eq(try_open(&options), INVALID_REQUEST);
    ck_assert_ptr_nonnull(strstr(error_text, "key too small"));
    ck_assert_ptr_nonnull(strstr(error_text, cert));
    paper_free(&paper);
    EVP_PKEY_free(weak);
    close_stage();
}
END_TEST

START_TEST(a_start_takes_an_expired_certificate_and_tells_its_dates) {
    open_stage();
    struct paper_wish wish = {
        .name = "late", .serial = 0xabc, .key = own.key, .signer = &authority};
    wish.from = -2 * PAPER_DAY, wish.until = -PAPER_DAY;
    struct paper late = paper_make(wish);
    paper_write_certificate(cert, "w", late.certificate);
    open_tls(NULL, NULL);
    struct tls_certificate certificate;
    tls_certificate(tls, &certificate);
    ck_assert_str_eq(certificate.subject, "CN=late");
    ck_assert_str_eq(certificate.serial, "0ABC");
    int64_t now = time(NULL);
    ck_assert_int_le(certificate.not_after, now - PAPER_DAY);
    ck_assert_int_ge(certificate.not_after, now - PAPER_DAY - 5);
    ck_assert_int_ge(certificate.not_before, now - 2 * PAPER_DAY - 5);
    paper_free(&late);
    close_stage();
}
END_TEST

START_TEST(a_change_is_told_once_the_files_are_still) {
    open_stage();
    open_tls(NULL, NULL);
    struct tls_error error;
    ck_assert(!tls_changed(tls));
    write_own(9);
    ck_assert(!tls_changed(tls)); /* the key may be next */
    ck_assert(tls_changed(tls));
    ck_assert(tls_changed(tls));
    ck_assert_int_eq(tls_reload(tls, &error), OK);
    ck_assert(!tls_changed(tls));
    unlink(key);
    ck_assert(!tls_changed(tls));
    ck_assert(tls_changed(tls));
    ck_assert_int_eq(tls_reload(tls, &error), INVALID_REQUEST);
    ck_assert(!tls_changed(tls)); /* a broken one is read once */
    ck_assert(!tls_changed(tls));
    paper_write_key(key, own.key, NULL);
    tls_changed(tls);
    ck_assert(tls_changed(tls));
    ck_assert_int_eq(tls_reload(tls, &error), OK);
    chmod(key, 0400);
    tls_changed(tls);
    ck_assert(tls_changed(tls)); /* who may read it counts */
    close_stage();
}
END_TEST

SUITE("gateway/edge/tls", 60, a_handshake_of_today_is_1_3_and_says_its_protocol,
      version_1_2_is_taken_with_aead_alone, older_versions_are_refused,
      a_client_that_offers_protocols_without_ours_is_refused,
      no_session_is_resumed_and_no_ticket_given, a_wish_to_renegotiate_ends_the_session,
      new_keys_again_and_again_end_the_session, plain_text_is_known_as_such,
      a_hello_that_is_cut_anywhere_is_a_failure_and_nothing_else,
      a_hello_that_comes_byte_by_byte_is_waited_for, a_hello_with_one_changed_byte_never_breaks_us,
      a_client_enters_with_a_certificate_of_the_right_authority_alone,
      a_client_without_a_certificate_is_refused,
      a_clients_certificate_that_signs_another_is_no_authority, names_are_compared_exactly,
      a_name_with_a_zero_byte_inside_is_not_its_beginning, who_is_revoked_is_refused,
      a_list_counts_for_its_own_authority_and_the_signer_must_have_one,
      ten_megabytes_go_both_ways_in_odd_pieces, what_was_read_ahead_is_told,
      a_goodbye_ends_properly_and_a_cut_does_not,
      our_goodbye_reaches_the_client_and_its_last_bytes_are_still_read,
      a_client_that_vanished_is_a_failure_of_the_write,
      a_reload_is_for_new_sessions_and_old_ones_live_on, a_broken_reload_says_why_and_keeps_the_old,
      a_key_that_others_can_read_is_refused, a_weak_certificate_is_refused,
      a_start_takes_an_expired_certificate_and_tells_its_dates,
      a_change_is_told_once_the_files_are_still)
