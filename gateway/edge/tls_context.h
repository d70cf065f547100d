/* tls_context - what one reading of the files came to: OpenSSL's context and who may connect.
 * thread: made on one; constant afterwards, held and released on any.
 * owns:   all that is in it, until the last holder lets go.
 * fails:  tls_context_read: INVALID_REQUEST and an error; MEMORY_EXHAUSTED. */
#ifndef GATEWAY_EDGE_TLS_CONTEXT_H
#define GATEWAY_EDGE_TLS_CONTEXT_H

#include "gateway/edge/tls.h"

#include <openssl/ssl.h>
#include <stdatomic.h>

struct tls_context {
    atomic_uint holders;
    SSL_CTX *ssl;
    struct tls_certificate certificate;
    const struct tls_options *options; /* while it is read */
    unsigned char protocol[16];        /* ALPN: its length, then the name */
    char **client_names;               /* NULL-terminated; NULL: any */
};

enum outcome tls_context_read(struct tls_context **out, const struct tls_options *options,
                              struct tls_error *error);
void tls_context_hold(struct tls_context *context);
void tls_context_release(struct tls_context *context);

/* tls.c: the newest, held for the caller. */
struct tls_context *tls_newest(struct tls *tls);
/* tls_files.c: fill context->ssl from the files, in this order. */
enum outcome tls_files_use(struct tls_context *context, struct tls_error *error);
/* tls_names.c: whether one of the certificate's names is among them. */
bool tls_names_allow(char *const *names, X509 *certificate);
char **tls_names_copy(const char *const *names); /* NULL: out of memory */
void tls_names_free(char **names);

#endif
