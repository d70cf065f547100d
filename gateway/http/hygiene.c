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

/* A list of codings: chunked alone is read. What else is well-formed may have a meaning elsewhere; where
 * chunked is not the last, or there twice, nobody could tell where the body ends. */
static const char *encoding_line(struct hygiene *hygiene, const char *value, size_t bytes) {
    hygiene->encodings++;
    size_t codings = 0, chunked = 0;
    for (size_t at = 0; at <= bytes; at++) {
        size_t end = at;
        while (end < bytes && value[end] != ',') end++;
        size_t from = at, to = end;
        while (from < to && (value[from] == ' ' || value[from] == '\t')) from++;
        while (to > from && (value[to - 1] == ' ' || value[to - 1] == '\t')) to--;
        if (!token(value + from, to - from) || chunked > 0)
            return "Transfer-Encoding cannot be read; allowed: chunked";
        codings++;
        chunked += named(value + from, to - from, "chunked");
        at = end;
    }
    /* The library looks for this word and no other: a blank more, and it reads without an end. */
    if (codings == 1 && chunked == 1 && bytes != strlen("chunked"))
        return "Transfer-Encoding has a blank around chunked";
    if (codings != 1 || chunked != 1) hygiene->unknown_coding = true;
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
    hygiene->lines++;
    hygiene->bytes += name_bytes + value_bytes + 4;
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

static bool known_method(const char *method) {
    static const char *const known[] = {"GET",    "HEAD",    "POST",  "PUT",
                                        "DELETE", "OPTIONS", "PATCH", "TRACE"};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(method, known[i]) == 0) return true;
    return false;
}

static const char *ambiguity(const struct hygiene *hygiene, bool version_1_1) {
    if (hygiene->lengths > 1) return "Content-Length is there more than once";
    if (hygiene->encodings > 1) return "Transfer-Encoding is there more than once";
    if (hygiene->lengths > 0 && hygiene->encodings > 0)
        return "Content-Length and Transfer-Encoding are both there";
    if (hygiene->encodings > 0 && !version_1_1) return "Transfer-Encoding is not for HTTP/1.0";
    if (version_1_1 && hygiene->hosts == 0) return "Host is missing";
    if (hygiene->hosts > 1) return "Host is there more than once";
    return NULL;
}

/* What is long is told before what is wrong in it, what is unclear before what is unknown. */
static enum outcome too_much(const struct hygiene *hygiene, const struct start_line *start,
                             const char **flaw) {
    if (strlen(start->target) > TARGET_BYTES_MOST) {
        *flaw = "the request target is too long; allowed: 2048 bytes";
        return URI_TOO_LONG;
    }
    *flaw = hygiene->lines > HEADER_LINES_MOST   ? "there are too many header lines; allowed: 100"
            : hygiene->bytes > HEADER_BYTES_MOST ? "the header lines are too long; allowed: 16384 "
                                                   "bytes together"
                                                 : NULL;
    return *flaw != NULL ? HEADERS_TOO_LARGE : OK;
}

enum outcome hygiene_verdict(const struct hygiene *hygiene, const struct start_line *start,
                             const char **flaw) {
    bool version_1_1 = strcmp(start->version, "HTTP/1.1") == 0;
    *flaw = NULL;
    if (!token(start->method, strlen(start->method)))
        *flaw = "the method is not a token";
    else if (strcmp(start->method, "CONNECT") == 0)
        *flaw = "CONNECT is not for this server";
    else if (!version_1_1 && strcmp(start->version, "HTTP/1.0") != 0)
        *flaw = "the version is neither HTTP/1.1 nor HTTP/1.0";
    if (*flaw != NULL) return INVALID_REQUEST;
    enum outcome outcome = too_much(hygiene, start, flaw);
    if (outcome != OK) return outcome;
    *flaw = hygiene->flaw != NULL ? hygiene->flaw : ambiguity(hygiene, version_1_1);
    if (*flaw != NULL) return INVALID_REQUEST;
    if (hygiene->unknown_coding)
        *flaw = "Transfer-Encoding is something else than chunked; allowed: chunked";
    else if (!known_method(start->method))
        *flaw = "the method is none that the gateway knows; allowed: GET, HEAD, POST, OPTIONS";
    return *flaw != NULL ? NOT_IMPLEMENTED : OK;
}
