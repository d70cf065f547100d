#include "gateway/edge/tls_context.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

/* An honest client makes new keys after gigabytes; each that it asks for costs us one as well. */
#define KEY_UPDATES_MOST 100

/* X(NAME, word) */
#define FLAWS(X)                                                                                   \
    X(HANDSHAKE, "tls_handshake")     /* a hello or a message that is not one */                   \
    X(PLAIN, "tls_plain")             /* no TLS at all */                                          \
    X(VERSION, "tls_version")         /* below 1.2 */                                              \
    X(CIPHER, "tls_cipher")           /* none in common */                                         \
    X(PROTOCOL, "tls_protocol")       /* offers protocols, not ours */                             \
    X(CERTIFICATE, "tls_certificate") /* the client's: none, or not one that may enter */          \
    X(REFUSED, "tls_refused")         /* the client did not like ours */                           \
    X(RENEGOTIATION, "tls_renegotiation")                                                          \
    X(KEY_UPDATES, "tls_key_updates")                                                              \
    X(RECORD, "tls_record") /* broken after the handshake */                                       \
    X(CUT, "tls_cut")       /* ended without a goodbye: what came may not be all */                \
    X(RESET, "tls_reset")
#define FLAW_NAME(name, word) FLAW_##name,
enum flaw { FLAW_NONE, FLAWS(FLAW_NAME) FLAW_COUNT };
#undef FLAW_NAME
#define FLAW_WORD(name, word) word,
const char *const tls_flaw_names[] = {FLAWS(FLAW_WORD) NULL};
#undef FLAW_WORD

struct tls_session {
    struct tls_context *context;
    SSL *ssl;
    enum flaw flaw;
    const char *detail; /* constant text */
    unsigned key_updates;
};

/* --- what went wrong --- */

static void blame(struct tls_session *session, enum flaw flaw, const char *detail) {
    if (session->flaw != FLAW_NONE) return;
    session->flaw = flaw;
    session->detail = detail;
}

/* What OpenSSL tolerates more of than we do. */
static void on_info(const SSL *ssl, int where, int value) {
    struct tls_session *session = SSL_get_app_data(ssl);
    if (where == SSL_CB_WRITE_ALERT && (value & 0xff) == SSL_AD_NO_RENEGOTIATION)
        blame(session, FLAW_RENEGOTIATION, "the client wants to renegotiate");
    bool update = (where & SSL_CB_LOOP) != 0 && SSL_get_state(ssl) == TLS_ST_SR_KEY_UPDATE;
    if (update && ++session->key_updates > KEY_UPDATES_MOST)
        blame(session, FLAW_KEY_UPDATES, "the client makes new keys again and again");
}

static enum flaw flaw_of(int reason, bool in_handshake, bool greeted) {
    switch (reason) {
    case SSL_R_UNEXPECTED_EOF_WHILE_READING: return FLAW_CUT;
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST: return FLAW_PLAIN;
    case SSL_R_WRONG_VERSION_NUMBER: return greeted ? FLAW_VERSION : FLAW_PLAIN;
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_VERSION_TOO_LOW:
    case SSL_R_INAPPROPRIATE_FALLBACK: return FLAW_VERSION;
    case SSL_R_NO_SHARED_CIPHER: return FLAW_CIPHER;
    case SSL_R_NO_APPLICATION_PROTOCOL: return FLAW_PROTOCOL;
    case SSL_R_CERTIFICATE_VERIFY_FAILED:
    case SSL_R_EXCESSIVE_MESSAGE_SIZE:
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE: return FLAW_CERTIFICATE;
    default: break;
    }
    if (reason >= SSL_AD_REASON_OFFSET && reason < SSL_AD_REASON_OFFSET + 256) return FLAW_REFUSED;
    return in_handshake ? FLAW_HANDSHAKE : FLAW_RECORD;
}

static const char *detail_of(const struct tls_session *session, enum flaw flaw,
                             unsigned long error) {
    long verified = SSL_get_verify_result(session->ssl);
    if (flaw == FLAW_CERTIFICATE && verified == X509_V_ERR_APPLICATION_VERIFICATION)
        return "none of the certificate's names is among client_names";
    if (flaw == FLAW_CERTIFICATE && verified != X509_V_OK)
        return X509_verify_cert_error_string(verified);
    const char *text = ERR_reason_error_string(error);
    return text != NULL ? text : "";
}

static enum tls_step fail(struct tls_session *session, int kind) {
    unsigned long error = ERR_peek_last_error(); /* the outermost */
    if (kind == SSL_ERROR_SYSCALL || error == 0) {
        blame(session, FLAW_RESET, "the connection broke");
        return TLS_FAILED;
    }
    bool greeted = SSL_get_state(session->ssl) != TLS_ST_BEFORE;
    enum flaw flaw = flaw_of(ERR_GET_REASON(error), !SSL_is_init_finished(session->ssl), greeted);
    blame(session, flaw, detail_of(session, flaw, error));
    ERR_clear_error();
    return TLS_FAILED;
}

static enum tls_step conclude(struct tls_session *session, int result) {
    int kind = SSL_get_error(session->ssl, result);
    if (session->flaw != FLAW_NONE) return TLS_FAILED; /* on_info saw it */
    switch (kind) {
    case SSL_ERROR_NONE: return TLS_DONE;
    case SSL_ERROR_WANT_READ: return TLS_WANTS_READ;
    case SSL_ERROR_WANT_WRITE: return TLS_WANTS_WRITE;
    case SSL_ERROR_ZERO_RETURN: return TLS_ENDED;
    default: return fail(session, kind);
    }
}

/* --- steps --- */

enum tls_step tls_session_handshake(struct tls_session *session) {
    if (session->flaw != FLAW_NONE) return TLS_FAILED;
    ERR_clear_error();
    enum tls_step step = conclude(session, SSL_accept(session->ssl));
    if (step != TLS_ENDED) return step;
    blame(session, FLAW_CUT, "the client said goodbye in the handshake");
    return TLS_FAILED;
}

enum tls_step tls_session_read(struct tls_session *session, void *bytes, size_t count,
                               size_t *moved) {
    *moved = 0;
    if (session->flaw != FLAW_NONE) return TLS_FAILED;
    ERR_clear_error();
    enum tls_step step = conclude(session, SSL_read_ex(session->ssl, bytes, count, moved));
    if (step != TLS_DONE) *moved = 0;
    return step;
}

enum tls_step tls_session_write(struct tls_session *session, const void *bytes, size_t count,
                                size_t *moved) {
    *moved = 0;
    if (session->flaw != FLAW_NONE) return TLS_FAILED;
    ERR_clear_error();
    return conclude(session, SSL_write_ex(session->ssl, bytes, count, moved));
}

bool tls_session_holds(const struct tls_session *session) {
    return session->flaw == FLAW_NONE && SSL_has_pending(session->ssl) == 1;
}

enum tls_step tls_session_goodbye(struct tls_session *session) {
    if (session->flaw != FLAW_NONE) return TLS_FAILED;
    if (!SSL_is_init_finished(session->ssl)) return TLS_DONE; /* there is nobody to greet */
    ERR_clear_error();
    int result = SSL_shutdown(session->ssl);
    return result >= 0 ? TLS_DONE : conclude(session, result);
}

const char *tls_session_flaw(const struct tls_session *session) {
    return session->flaw == FLAW_NONE ? "" : tls_flaw_names[session->flaw - 1];
}

const char *tls_session_detail(const struct tls_session *session) {
    return session->detail != NULL ? session->detail : "";
}

/* --- its life --- */

void tls_session_free(struct tls_session *session) {
    if (session == NULL) return;
    SSL_free(session->ssl);
    tls_context_release(session->context);
    free(session);
}

struct tls_session *tls_session_new(struct tls *tls, int fd) {
    struct tls_session *session = calloc(1, sizeof *session);
    if (session == NULL) return NULL;
    session->context = tls_newest(tls);
    ERR_clear_error();
    session->ssl = SSL_new(session->context->ssl);
    if (session->ssl != NULL && SSL_set_fd(session->ssl, fd) == 1) {
        SSL_set_app_data(session->ssl, session);
        SSL_set_info_callback(session->ssl, on_info);
        SSL_set_accept_state(session->ssl);
        return session;
    }
    ERR_clear_error();
    tls_session_free(session);
    return NULL;
}
