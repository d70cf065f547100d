/* paper - certificates for tests: made in memory, written as PEM files into a folder of their own. */
#ifndef TESTS_GATEWAY_PAPER_H
#define TESTS_GATEWAY_PAPER_H

#include "tests/support/suite.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAPER_DAY (24L * 3600)

struct paper {
    X509 *certificate;
    EVP_PKEY *key;
};

/* What a certificate says; from and until are seconds from now. */
struct paper_wish {
    const char *name, *names; /* names: of subjectAltName, as openssl.cnf has them; NULL: none */
    long serial, from, until;
    int ca;
    const struct paper *signer; /* NULL: itself */
    EVP_PKEY *key;              /* NULL: a new one */
};

static inline void paper_extend(X509 *certificate, int kind, const char *value) {
    X509V3_CTX context;
    X509V3_set_ctx(&context, certificate, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, kind, value);
    ck_assert_ptr_nonnull(extension);
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
}

static inline struct paper paper_make(struct paper_wish wish) {
    struct paper paper = {X509_new(), wish.key != NULL ? wish.key : EVP_EC_gen("P-256")};
    if (wish.key != NULL) EVP_PKEY_up_ref(wish.key);
    const struct paper *signer = wish.signer != NULL ? wish.signer : &paper;
    X509 *made = paper.certificate;
    X509_set_version(made, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(made), wish.serial);
    X509_gmtime_adj(X509_getm_notBefore(made), wish.from);
    X509_gmtime_adj(X509_getm_notAfter(made), wish.until);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(made), "CN", MBSTRING_ASC,
                               (const unsigned char *)wish.name, -1, -1, 0);
    X509_set_issuer_name(made, X509_get_subject_name(signer->certificate));
    X509_set_pubkey(made, paper.key);
    paper_extend(made, NID_basic_constraints, wish.ca ? "critical,CA:TRUE" : "CA:FALSE");
    paper_extend(made, NID_key_usage, wish.ca ? "keyCertSign,cRLSign" : "digitalSignature");
    if (wish.names != NULL) paper_extend(made, NID_subject_alt_name, wish.names);
    ck_assert_int_gt(X509_sign(made, signer->key, EVP_sha256()), 0);
    return paper;
}

static inline struct paper paper_authority(const char *name) {
    return paper_make((struct paper_wish){
        .name = name, .serial = 1, .from = -PAPER_DAY, .until = PAPER_DAY, .ca = 1});
}

static inline struct paper paper_leaf(const char *name, const char *names, long serial,
                                      const struct paper *signer) {
    return paper_make((struct paper_wish){.name = name,
                                          .names = names,
                                          .serial = serial,
                                          .from = -PAPER_DAY,
                                          .until = PAPER_DAY,
                                          .signer = signer});
}

static inline void paper_free(struct paper *paper) {
    X509_free(paper->certificate);
    EVP_PKEY_free(paper->key);
    *paper = (struct paper){0};
}

/* --- files --- */

static inline FILE *paper_file(const char *path, const char *how) {
    int fd = open(path, O_WRONLY | O_CREAT | (*how == 'a' ? O_APPEND : O_TRUNC), 0600);
    ck_assert_int_ge(fd, 0);
    return fdopen(fd, how);
}

static inline void paper_write_text(const char *path, const char *text) {
    FILE *file = paper_file(path, "w");
    fputs(text, file);
    fclose(file);
}

static inline void paper_write_certificate(const char *path, const char *how, const X509 *it) {
    FILE *file = paper_file(path, how);
    ck_assert_int_eq(PEM_write_X509(file, it), 1);
    fclose(file);
}

static inline void paper_write_key(const char *path, const EVP_PKEY *key, const char *passphrase) {
    FILE *file = paper_file(path, "w");
    ck_assert_int_eq(PEM_write_PKCS8PrivateKey(file, key,
                                               passphrase != NULL ? EVP_aes_128_cbc() : NULL,
                                               passphrase, passphrase != NULL ? 4 : 0, NULL, NULL),
                     1);
    fclose(file);
}

/* Appends the list of what `signer` has revoked; 0: nothing. */
static inline void paper_append_revocations(const char *path, const struct paper *signer,
                                            long serial) {
    X509_CRL *list = X509_CRL_new();
    ASN1_TIME *now = X509_gmtime_adj(NULL, -60), *next = X509_gmtime_adj(NULL, PAPER_DAY);
    X509_CRL_set_version(list, X509_CRL_VERSION_2);
    X509_CRL_set_issuer_name(list, X509_get_subject_name(signer->certificate));
    X509_CRL_set1_lastUpdate(list, now);
    X509_CRL_set1_nextUpdate(list, next);
    if (serial != 0) {
        X509_REVOKED *entry = X509_REVOKED_new();
        ASN1_INTEGER *number = ASN1_INTEGER_new();
        ASN1_INTEGER_set(number, serial);
        X509_REVOKED_set_serialNumber(entry, number);
        X509_REVOKED_set_revocationDate(entry, now);
        X509_CRL_add0_revoked(list, entry);
        ASN1_INTEGER_free(number);
    }
    ck_assert_int_gt(X509_CRL_sign(list, signer->key, EVP_sha256()), 0);
    FILE *file = paper_file(path, "a");
    ck_assert_int_eq(PEM_write_X509_CRL(file, list), 1);
    fclose(file);
    ASN1_TIME_free(now), ASN1_TIME_free(next);
    X509_CRL_free(list);
}

#endif
