#include "gateway/edge/tls_context.h"

#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void tls_names_free(char **names) {
    if (names == NULL) return;
    for (char **name = names; *name != NULL; name++) free(*name);
    free(names);
}

char **tls_names_copy(const char *const *names) {
    size_t count = 0;
    while (names[count] != NULL) count++;
    char **copy = calloc(count + 1, sizeof *copy);
    for (size_t i = 0; copy != NULL && i < count; i++) {
        copy[i] = strdup(names[i]);
        if (copy[i] != NULL) continue;
        tls_names_free(copy);
        return NULL;
    }
    return copy;
}

/* Names of hosts know no case; the others are compared as they are. A zero byte inside ends no name: the
 * lengths must agree. */
static bool is_among(char *const *names, const ASN1_STRING *text, bool host) {
    const char *bytes = (const char *)ASN1_STRING_get0_data(text);
    size_t count = (size_t)ASN1_STRING_length(text);
    for (; *names != NULL; names++) {
        if (strlen(*names) != count || memchr(bytes, '\0', count) != NULL) continue;
        if (host ? strncasecmp(*names, bytes, count) == 0 : memcmp(*names, bytes, count) == 0)
            return true;
    }
    return false;
}

static bool allows(char *const *names, const GENERAL_NAME *name) {
    switch (name->type) {
    case GEN_DNS: return is_among(names, name->d.dNSName, true);
    case GEN_URI: return is_among(names, name->d.uniformResourceIdentifier, false);
    case GEN_EMAIL: return is_among(names, name->d.rfc822Name, false);
    default: return false;
    }
}

/* The common name is none of them: RFC 9525, section 2. */
bool tls_names_allow(char *const *names, X509 *certificate) {
    GENERAL_NAMES *own = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    bool allowed = false;
    for (int i = 0; i < sk_GENERAL_NAME_num(own) && !allowed; i++)
        allowed = allows(names, sk_GENERAL_NAME_value(own, i));
    GENERAL_NAMES_free(own);
    return allowed;
}
