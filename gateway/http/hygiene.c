#include "gateway/http/hygiene.h"

#include <string.h>
#include <strings.h>

/* tchar of RFC 9110 section 5.6.2. */
static bool token_character(unsigned char c) {
    if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) return true;
    return c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

static bool token(const char *text, size_t bytes) {
    for (size_t i = 0; i < bytes; i++)
        if (!token_character((unsigned char)text[i])) return false;
    return bytes > 0;
}

static bool clean_value(const char *value, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) {
        unsigned char c = (unsigned char)value[i];
        if ((c < ' ' && c != '\t') || c == 0x7f) return false;
    }
    return true;
}

static bool named(const char *name, size_t bytes, const char *wanted) {
    return bytes == strlen(wanted) && strncasecmp(name, wanted, bytes) == 0;
}

/* Digits only, and no more than fits: no sign, no list, no space in between. */
static bool length_value(const char *value, size_t bytes, uint64_t *length) {
    while (bytes > 0 && (value[bytes - 1] == ' ' || value[bytes - 1] == '\t')) bytes--;
    uint64_t sum = 0;
    for (size_t i = 0; i < bytes; i++) {
        if (value[i] < '0' || value[i] > '9' || sum > (UINT64_MAX - 9) / 10) return false;
        sum = sum * 10 + (uint64_t)(value[i] - '0');
    }
    *length = sum;
    return bytes > 0;
}

static const char *length_line(struct hygiene *hygiene, const char *value, size_t bytes) {
    hygiene->lengths++;
    if (!length_value(value, bytes, &hygiene->content_length))
        return "Content-Length is not one number";
    return NULL;
}

static const char *encoding_line(struct hygiene *hygiene, const char *value, size_t bytes) {
    hygiene->encodings++;
    while (bytes > 0 && (value[bytes - 1] == ' ' || value[bytes - 1] == '\t')) bytes--;
    if (!named(value, bytes, "chunked")) return "Transfer-Encoding is something else than chunked";
    return NULL;
}

static const char *host_line(struct hygiene *hygiene, const char *value, size_t bytes) {
    hygiene->hosts++;
    for (size_t i = 0; i < bytes; i++)
        if (strchr(" \t,/@?#\\", value[i]) != NULL) return "Host is not one host";
    return NULL;
}

void hygiene_line(struct hygiene *hygiene, const char *name, size_t name_bytes, const char *value,
                  size_t value_bytes) {
    const char *flaw = NULL;
    if (!token(name, name_bytes))
        flaw = "a header's name has characters that names cannot have";
    else if (!clean_value(value, value_bytes))
        flaw = "a header's value has control characters";
    else if (named(name, name_bytes, "Content-Length"))
        flaw = length_line(hygiene, value, value_bytes);
    else if (named(name, name_bytes, "Transfer-Encoding"))
        flaw = encoding_line(hygiene, value, value_bytes);
    else if (named(name, name_bytes, "Host"))
        flaw = host_line(hygiene, value, value_bytes);
    if (hygiene->flaw == NULL) hygiene->flaw = flaw;
}

const char *hygiene_verdict(const struct hygiene *hygiene, const char *method,
                            const char *version) {
    bool version_1_1 = strcmp(version, "HTTP/1.1") == 0;
    if (!token(method, strlen(method))) return "the method is not a token";
    if (!version_1_1 && strcmp(version, "HTTP/1.0") != 0)
        return "the version is neither HTTP/1.1 nor HTTP/1.0";
    if (hygiene->flaw != NULL) return hygiene->flaw;
    if (hygiene->lengths > 1) return "Content-Length is there more than once";
    if (hygiene->encodings > 1) return "Transfer-Encoding is there more than once";
    if (hygiene->lengths > 0 && hygiene->encodings > 0)
        return "Content-Length and Transfer-Encoding are both there";
    if (hygiene->encodings > 0 && !version_1_1) return "Transfer-Encoding is not for HTTP/1.0";
    if (version_1_1 && hygiene->hosts == 0) return "Host is missing";
    if (hygiene->hosts > 1) return "Host is there more than once";
    return NULL;
}
