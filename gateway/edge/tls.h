/* tls - TLS 1.2 (AEAD only) and 1.3 over a client's socket: a context that is read again, sessions on it.
 * thread: tls_reload from main, sessions on the door's loop; a context is swapped, never changed.
 * owns:   a session owns what OpenSSL needs, never the socket.
 * fails:  tls_open, tls_reload: INVALID_REQUEST and a text that names the file and what is wrong; a failed
 *         reload keeps the old certificate. MEMORY_EXHAUSTED. */
#ifndef GATEWAY_EDGE_TLS_H
#define GATEWAY_EDGE_TLS_H

#include "core/base/outcome.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define TLS_ERROR_BYTES 256

struct tls_options {
    const char *cert, *key; /* PEM files; the chain follows its leaf */
    const char *client_ca;  /* NULL: no client certificate is asked for */
    const char *const
        *client_names;    /* NULL or empty: every one that client_ca has signed; else a DNS or URI
                                          name of the certificate must be among them */
    const char *protocol; /* ALPN: "h2" or "http/1.1" */
};

struct tls;
struct tls_session;

/* What a step of a session came to. Reading may want to write and the other way round. */
enum tls_step { TLS_DONE, TLS_WANTS_READ, TLS_WANTS_WRITE, TLS_ENDED, TLS_FAILED };

enum outcome tls_open(struct tls **out, const struct tls_options *options,
                      char error[TLS_ERROR_BYTES]);
enum outcome tls_reload(struct tls *tls, char error[TLS_ERROR_BYTES]);
bool tls_changed(struct tls *tls); /* a file is not the one that was read: worth a reload */
void tls_close(struct tls *tls);   /* sessions may outlive it */

struct tls_session *tls_session_new(struct tls *tls, int fd); /* NULL: out of memory */
enum tls_step tls_session_handshake(struct tls_session *session);
/* DONE: *moved bytes. ENDED: the client said goodbye properly; FAILED: it did not, or broke the rules. */
enum tls_step tls_session_read(struct tls_session *session, void *bytes, size_t count,
                               size_t *moved);
enum tls_step tls_session_write(struct tls_session *session, const void *bytes, size_t count,
                                size_t *moved);
enum tls_step tls_session_goodbye(struct tls_session *session);
const char *
tls_session_flaw(const struct tls_session *session); /* why it FAILED: a word for the metrics */
void tls_session_free(struct tls_session *session);

#endif
