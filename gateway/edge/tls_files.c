/* The three files, read whole and given to OpenSSL from memory: what is checked is what is used. */
#include "gateway/edge/tls_context.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_BYTES_MOST ((size_t)1024 * 1024)
#define READABLE        ", allowed is a readable PEM file"
#define STRONG          ", allowed are RSA from 2048 bits and P-256, signed with SHA-256"

struct pem {
    enum tls_file kind;
    const char *path;
    char *text;
    size_t bytes;
    BIO *bio;
    struct tls_error *error;
};

static enum outcome refuse(const struct pem *pem, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static enum outcome refuse(const struct pem *pem, const char *format, ...) {
    char what[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    pem->error->file = pem->kind;
    snprintf(pem->error->text, sizeof pem->error->text, "%s: %s", pem->path, what);
    ERR_clear_error();
    return INVALID_REQUEST;
}

/* OpenSSL's own words for what it did not like. */
static const char *reason(void) {
    const char *text = ERR_reason_error_string(ERR_peek_last_error());
    return text != NULL ? text : "for a reason that is not told";
}

/* --- a file --- */

/* The key is a secret. Its owner is root or who serves; a group may read it only where root says so, as
 * Debian's ssl-cert and mounted secrets have it. */
static enum outcome check_secrecy(const struct pem *pem, const struct stat *file) {
    static const char allowed[] = "allowed is 0600, or 0640 where root is the owner";
    unsigned mode = file->st_mode & 0777U;
    if (file->st_uid != 0 && file->st_uid != geteuid())
        return refuse(pem, "the key belongs to user %u, allowed is root or the user that serves",
                      file->st_uid);
    if ((mode & (file->st_uid == 0 ? 0037U : 0077U)) != 0)
        return refuse(pem, "others than its owner can read the key (mode %04o), %s", mode, allowed);
    return OK;
}

static enum outcome check_file(const struct pem *pem, int fd, size_t *bytes) {
    struct stat file;
    if (fstat(fd, &file) != 0) return refuse(pem, "%s" READABLE, strerror(errno));
    if (!S_ISREG(file.st_mode)) return refuse(pem, "is not a file" READABLE);
    if ((size_t)file.st_size > FILE_BYTES_MOST)
        return refuse(pem, "is too large, allowed is at most 1MiB");
    *bytes = (size_t)file.st_size;
    return pem->kind == TLS_KEY ? check_secrecy(pem, &file) : OK;
}

static enum outcome read_text(struct pem *pem, int fd) {
    size_t bytes = 0;
    enum outcome outcome = check_file(pem, fd, &bytes);
    if (outcome != OK) return outcome;
    pem->text = malloc(bytes + 1);
    if (pem->text == NULL) return MEMORY_EXHAUSTED;
    while (pem->bytes < bytes) {
        ssize_t got = read(fd, pem->text + pem->bytes, bytes - pem->bytes);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return refuse(pem, "%s" READABLE, strerror(errno));
        if (got == 0) break; /* it has become shorter: a broken one */
        pem->bytes += (size_t)got;
    }
    pem->bio = BIO_new_mem_buf(pem->text, (int)pem->bytes);
    return pem->bio != NULL ? OK : MEMORY_EXHAUSTED;
}

static enum outcome pem_open(struct pem *pem, enum tls_file kind, const char *path,
                             struct tls_error *error) {
    *pem = (struct pem){.kind = kind, .path = path, .error = error};
    ERR_clear_error();
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return refuse(pem, "%s" READABLE, strerror(errno));
    enum outcome outcome = read_text(pem, fd);
    close(fd);
    return outcome;
}

static void pem_close(struct pem *pem) {
    BIO_free(pem->bio);
    if (pem->text != NULL) OPENSSL_cleanse(pem->text, pem->bytes);
    free(pem->text);
}

/* The last one was read, and no half one follows. */
static bool is_at_end(void) {
    unsigned long error = ERR_peek_last_error();
    bool end = ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
    if (end) ERR_clear_error();
    return end;
}

/* --- our own certificate --- */

static int64_t seconds_of(const ASN1_TIME *moment) {
    struct tm parts;
    return ASN1_TIME_to_tm(moment, &parts) == 1 ? timegm(&parts) : 0;
}

static void print_subject(const X509 *leaf, char *out, size_t bytes) {
    BIO *text = BIO_new(BIO_s_mem());
    if (text == NULL) return;
    X509_NAME_print_ex(text, X509_get_subject_name(leaf), 0, XN_FLAG_RFC2253);
    int length = BIO_read(text, out, (int)bytes - 1);
    out[length > 0 ? length : 0] = '\0';
    BIO_free(text);
}

static void print_serial(X509 *leaf, char *out, size_t bytes) {
    BIGNUM *number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(leaf), NULL);
    char *digits = number != NULL ? BN_bn2hex(number) : NULL;
    snprintf(out, bytes, "%s", digits != NULL ? digits : "");
    OPENSSL_free(digits);
    BN_free(number);
}

static void describe(X509 *leaf, struct tls_certificate *out) {
    print_subject(leaf, out->subject, sizeof out->subject);
    print_serial(leaf, out->serial, sizeof out->serial);
    out->not_before = seconds_of(X509_get0_notBefore(leaf));
    out->not_after = seconds_of(X509_get0_notAfter(leaf));
}

static enum outcome use_leaf(struct tls_context *context, const struct pem *pem) {
    X509 *leaf = PEM_read_bio_X509(pem->bio, NULL, NULL, NULL);
    if (leaf == NULL) return refuse(pem, "holds no certificate, allowed is a PEM file");
    describe(leaf, &context->certificate);
    bool used = SSL_CTX_use_certificate(context->ssl, leaf) == 1;
    X509_free(leaf);
    return used ? OK : refuse(pem, "the certificate is refused: %s" STRONG, reason());
}

static enum outcome use_chain(struct tls_context *context, const struct pem *pem) {
    enum outcome outcome = use_leaf(context, pem);
    X509 *next;
    while (outcome == OK && (next = PEM_read_bio_X509(pem->bio, NULL, NULL, NULL)) != NULL) {
        if (SSL_CTX_add0_chain_cert(context->ssl, next) == 1) continue;
        outcome = refuse(pem, "a certificate of the chain is refused: %s" STRONG, reason());
        X509_free(next);
    }
    if (outcome == OK && !is_at_end())
        outcome = refuse(pem, "a certificate is broken: %s" READABLE, reason());
    return outcome;
}

/* Called only for a key with a passphrase: nobody is there to ask. */
static int no_passphrase(char *buffer, int bytes, int writing, void *asked) {
    (void)buffer, (void)bytes, (void)writing;
    *(bool *)asked = true;
    return -1;
}

static enum outcome use_key(struct tls_context *context, const struct pem *pem) {
    bool asked = false;
    EVP_PKEY *key = PEM_read_bio_PrivateKey(pem->bio, NULL, no_passphrase, &asked);
    if (asked) return refuse(pem, "the key is encrypted, allowed is one without a passphrase");
    if (key == NULL) return refuse(pem, "holds no private key, allowed is a PEM file");
    const X509 *leaf = SSL_CTX_get0_certificate(context->ssl);
    bool matches = X509_check_private_key(leaf, key) == 1;
    bool used = matches && SSL_CTX_use_PrivateKey(context->ssl, key) == 1;
    EVP_PKEY_free(key);
    if (!matches)
        return refuse(pem,
                      "the key does not belong to %s, allowed is that of its first certificate",
                      context->options->cert);
    return used ? OK : refuse(pem, "the key is refused: %s" STRONG, reason());
}

/* --- who signs clients --- */

static bool trust(SSL_CTX *ssl, const X509_INFO *item, size_t *certificates) {
    X509_STORE *store = SSL_CTX_get_cert_store(ssl);
    if (item->x509 != NULL) {
        ++*certificates;
        if (X509_STORE_add_cert(store, item->x509) != 1) return false;
        if (SSL_CTX_add_client_CA(ssl, item->x509) != 1) return false;
    }
    if (item->crl == NULL) return true;
    return X509_STORE_add_crl(store, item->crl) == 1 &&
           X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL) == 1;
}

static enum outcome use_client_ca(struct tls_context *context, const struct pem *pem) {
    STACK_OF(X509_INFO) *items = PEM_X509_INFO_read_bio(pem->bio, NULL, NULL, NULL);
    if (items == NULL) return refuse(pem, "is broken: %s" READABLE, reason());
    size_t certificates = 0;
    bool sound = true;
    for (int i = 0; i < sk_X509_INFO_num(items) && sound; i++)
        sound = trust(context->ssl, sk_X509_INFO_value(items, i), &certificates);
    sk_X509_INFO_pop_free(items, X509_INFO_free);
    if (!sound) return refuse(pem, "cannot be used: %s" READABLE, reason());
    if (certificates == 0) return refuse(pem, "holds no certificate, allowed is a PEM file");
    return OK;
}

static enum outcome use_file(struct tls_context *context, enum tls_file kind, const char *path,
                             enum outcome (*use)(struct tls_context *, const struct pem *),
                             struct tls_error *error) {
    struct pem pem;
    enum outcome outcome = pem_open(&pem, kind, path, error);
    if (outcome == OK) outcome = use(context, &pem);
    pem_close(&pem);
    return outcome;
}

enum outcome tls_files_use(struct tls_context *context, struct tls_error *error) {
    const struct tls_options *options = context->options;
    enum outcome outcome = use_file(context, TLS_CERT, options->cert, use_chain, error);
    if (outcome == OK) outcome = use_file(context, TLS_KEY, options->key, use_key, error);
    if (outcome == OK && options->client_ca != NULL)
        outcome = use_file(context, TLS_CLIENT_CA, options->client_ca, use_client_ca, error);
    return outcome;
}
