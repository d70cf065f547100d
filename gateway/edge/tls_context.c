#include "gateway/edge/tls_context.h"

#include <assert.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

#define SUITES_1_2       "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL:!PSK"
#define CHAIN_DEPTH      8
#define CHAIN_BYTES_MOST (32L * 1024)

/* --- what a hello comes to --- */

/* A client that offers protocols must offer ours (RFC 7301); one that offers none is taken at its word. */
static int on_protocols(SSL *ssl, const unsigned char **out, unsigned char *out_bytes,
                        const unsigned char *offered, unsigned offered_bytes, void *data) {
    (void)ssl;
    const struct tls_context *context = data;
    unsigned char *chosen;
    if (SSL_select_next_proto(&chosen, out_bytes, context->protocol, context->protocol[0] + 1U,
                              offered, offered_bytes) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

/* A revocation list counts for the certificates of its own CA: that there is none for a CA above does not
 * make everyone below unknown. The client's own signer must have one. */
static int on_verify(int sound, X509_STORE_CTX *store) {
    if (sound == 1) return 1;
    if (X509_STORE_CTX_get_error(store) != X509_V_ERR_UNABLE_TO_GET_CRL ||
        X509_STORE_CTX_get_error_depth(store) == 0)
        return 0;
    X509_STORE_CTX_set_error(store, X509_V_OK);
    return 1;
}

static int verify_client(X509_STORE_CTX *store, void *data) {
    const struct tls_context *context = data;
    if (X509_verify_cert(store) <= 0) return 0;
    if (context->client_names == NULL) return 1;
    if (tls_names_allow(context->client_names, X509_STORE_CTX_get0_cert(store))) return 1;
    X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
    return 0;
}

/* --- making one --- */

/* Neither tickets nor remembered sessions: a client's certificate is looked at in every handshake, and no
 * key for tickets outlives its forward secrecy. Connections are kept alive, so handshakes are few. */
static bool set_protocol(struct tls_context *context) {
    SSL_CTX *ssl = context->ssl;
    SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_clear_options(ssl, SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_security_level(ssl, 2);
    SSL_CTX_set_alpn_select_cb(ssl, on_protocols, context);
    return SSL_CTX_set_min_proto_version(ssl, TLS1_2_VERSION) == 1 &&
           SSL_CTX_set_max_proto_version(ssl, TLS1_3_VERSION) == 1 &&
           SSL_CTX_set_cipher_list(ssl, SUITES_1_2) == 1 &&
           SSL_CTX_set1_groups_list(ssl, "X25519:P-256:P-384") == 1 &&
           SSL_CTX_set_num_tickets(ssl, 0) == 1;
}

/* Idle connections hold no buffers; a record is read with one call, not with two. */
static void set_buffers(SSL_CTX *ssl) {
    SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(ssl, 1);
}

static void set_clients(struct tls_context *context) {
    SSL_CTX *ssl = context->ssl;
    if (context->options->client_ca == NULL) return;
    SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, on_verify);
    SSL_CTX_set_cert_verify_callback(ssl, verify_client, context);
    SSL_CTX_set_verify_depth(ssl, CHAIN_DEPTH);
    SSL_CTX_set_max_cert_list(ssl, CHAIN_BYTES_MOST);
    /* Whatever the file names is trusted for itself, a CA below another too. */
    X509_STORE_set_flags(SSL_CTX_get_cert_store(ssl), X509_V_FLAG_PARTIAL_CHAIN);
}

static bool copy_options(struct tls_context *context) {
    const struct tls_options *options = context->options;
    size_t bytes = strlen(options->protocol);
    assert(bytes < sizeof context->protocol);
    context->protocol[0] = (unsigned char)bytes;
    memcpy(context->protocol + 1, options->protocol, bytes);
    if (options->client_names == NULL || options->client_names[0] == NULL) return true;
    context->client_names = tls_names_copy(options->client_names);
    return context->client_names != NULL;
}

static enum outcome fill(struct tls_context *context, struct tls_error *error) {
    if (!copy_options(context)) return MEMORY_EXHAUSTED;
    context->ssl = SSL_CTX_new(TLS_server_method());
    if (context->ssl == NULL || !set_protocol(context)) return MEMORY_EXHAUSTED;
    set_buffers(context->ssl);
    set_clients(context);
    return tls_files_use(context, error);
}

enum outcome tls_context_read(struct tls_context **out, const struct tls_options *options,
                              struct tls_error *error) {
    *out = NULL;
    struct tls_context *context = calloc(1, sizeof *context);
    if (context == NULL) return MEMORY_EXHAUSTED;
    atomic_init(&context->holders, 1);
    context->options = options;
    enum outcome outcome = fill(context, error);
    context->options = NULL;
    ERR_clear_error();
    if (outcome == OK)
        *out = context;
    else
        tls_context_release(context);
    return outcome;
}

void tls_context_hold(struct tls_context *context) {
    atomic_fetch_add(&context->holders, 1);
}

void tls_context_release(struct tls_context *context) {
    if (atomic_fetch_sub(&context->holders, 1) > 1) return;
    SSL_CTX_free(context->ssl);
    tls_names_free(context->client_names);
    free(context);
}
