/* tls - TLS 1.2 (AEAD only) and 1.3 over a client's socket: a context that is read again, sessions on it.
 * thread: tls_reload and tls_changed from main, sessions on the door's loop; a context is swapped, never
 *         changed. tls_certificate from any.
 * owns:   copies of its options; a session owns what OpenSSL needs, never the socket.
 * fails:  tls_open, tls_reload: INVALID_REQUEST and an error that says which file and what is wrong; a
 *         failed reload keeps the old certificate. MEMORY_EXHAUSTED. SIGPIPE must be ignored. */
#ifndef GATEWAY_EDGE_TLS_H
#define GATEWAY_EDGE_TLS_H

#include "core/base/outcome.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tls_options {
    const char *cert, *key; /* PEM files; the chain follows its leaf */
    const char *client_ca;  /* NULL: no client certificate is asked for */
    /* NULL or empty: every one that client_ca has signed; else a DNS, URI or mail name of the
     * certificate must be among them. NULL-terminated. */
    const char *const *client_names;
    const char *protocol; /* ALPN: "h2" or "http/1.1" */
};

enum tls_file { TLS_CERT, TLS_KEY, TLS_CLIENT_CA, TLS_FILE_COUNT };
struct tls_error {
    enum tls_file file;
    char text[384]; /* names the file, what is wrong, what is allowed */
};

struct tls_certificate {
    char subject[128], serial[48]; /* RFC 4514; hexadecimal, cut where it is longer */
    int64_t not_before, not_after; /* seconds of the wall clock */
};

struct tls;
enum outcome tls_open(struct tls **out, const struct tls_options *options, struct tls_error *error);
/* The files as they are now. One that is not valid today is refused here, and taken by tls_open. */
enum outcome tls_reload(struct tls *tls, struct tls_error *error);
/* A file is not the one that was read last, and none has changed since the last look. */
bool tls_changed(struct tls *tls);
/* We are somebody else now: a file that this user cannot even see has not changed by it. */
void tls_user_changed(struct tls *tls);
void tls_certificate(struct tls *tls, struct tls_certificate *out);
void tls_close(struct tls *tls); /* sessions may outlive it; NULL is allowed */

/* What a step of a session came to. Reading may want to write and the other way round. */
enum tls_step { TLS_DONE, TLS_WANTS_READ, TLS_WANTS_WRITE, TLS_ENDED, TLS_FAILED };

struct tls_session;
struct tls_session *tls_session_new(struct tls *tls, int fd); /* NULL: out of memory */
enum tls_step tls_session_handshake(struct tls_session *session);
/* DONE: *moved bytes. ENDED: the client said goodbye properly; FAILED: it did not, or broke the rules. */
enum tls_step tls_session_read(struct tls_session *session, void *bytes, size_t count,
                               size_t *moved);
/* After WANTS_*: the same bytes again, from wherever they are, and no fewer. */
enum tls_step tls_session_write(struct tls_session *session, const void *bytes, size_t count,
                                size_t *moved);
/* Bytes are here that the socket will not tell of: whoever stopped before WANTS_READ reads on. */
bool tls_session_holds(const struct tls_session *session);
/* Nothing is written after it; reading may go on. DONE: it is with the kernel. */
enum tls_step tls_session_goodbye(struct tls_session *session);
/* Why it FAILED: a word for the metrics (one of tls_flaw_names), a sentence for the log. */
const char *tls_session_flaw(const struct tls_session *session);
const char *tls_session_detail(const struct tls_session *session);
void tls_session_free(struct tls_session *session); /* NULL is allowed */

/* Every word that tls_session_flaw can say; NULL-terminated. */
extern const char *const tls_flaw_names[];

#endif
