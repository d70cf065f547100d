#include "gateway/edge/proxy_header.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define TEXT_BYTES 107 /* the longest of version 1, with its CRLF */

/* Version 1: a line of text. */

struct words {
    const char *next, *end;
};

/* Up to the next space or the end of the line, as a C string. */
static bool word(struct words *words, char *out, size_t room) {
    const size_t left = (size_t)(words->end - words->next);
    const char *space = memchr(words->next, ' ', left);
    const size_t bytes = space != NULL ? (size_t)(space - words->next) : left;
    if (bytes == 0 || bytes >= room || memchr(words->next, '\0', bytes) != NULL) return false;
    memcpy(out, words->next, bytes);
    out[bytes] = '\0';
    words->next += bytes + (space != NULL ? 1 : 0);
    return space == NULL || words->next < words->end;
}

static bool port_word(struct words *words, in_port_t *out) {
    char text[6];
    uint32_t port = 0;
    *out = 0;
    if (!word(words, text, sizeof text) || (text[0] == '0' && text[1] != '\0')) return false;
    for (const char *digit = text; *digit != '\0'; digit++) {
        if (*digit < '0' || *digit > '9') return false;
        port = port * 10 + (uint32_t)(*digit - '0');
    }
    *out = htons((uint16_t)port);
    return port <= UINT16_MAX;
}

static bool address_word(struct words *words, int family, void *out) {
    char text[INET6_ADDRSTRLEN];
    return word(words, text, sizeof text) && inet_pton(family, text, out) == 1;
}

static void set_four(struct proxy_header *out, const void *address, in_port_t port) {
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = port};
    memcpy(&four.sin_addr, address, sizeof four.sin_addr);
    memcpy(&out->source, &four, sizeof four);
    out->source_bytes = sizeof four;
}

static void set_six(struct proxy_header *out, const void *address, in_port_t port) {
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = port};
    memcpy(&six.sin6_addr, address, sizeof six.sin6_addr);
    memcpy(&out->source, &six, sizeof six);
    out->source_bytes = sizeof six;
}

static bool read_addresses(struct proxy_header *out, struct words words, int family) {
    struct in6_addr from, to; /* as large as either family's */
    in_port_t from_port, to_port;
    if (!address_word(&words, family, &from) || !address_word(&words, family, &to)) return false;
    if (!port_word(&words, &from_port) || !port_word(&words, &to_port)) return false;
    if (words.next != words.end) return false;
    if (family == AF_INET)
        set_four(out, &from, from_port);
    else
        set_six(out, &from, from_port);
    return true;
}

/* `line` without "PROXY " and without CRLF. */
static bool read_line(struct proxy_header *out, const char *line, size_t count) {
    struct words words = {.next = line, .end = line + count};
    char protocol[8];
    /* What follows UNKNOWN is for nobody. */
    if (count >= 7 && memcmp(line, "UNKNOWN", 7) == 0) return count == 7 || line[7] == ' ';
    if (!word(&words, protocol, sizeof protocol)) return false;
    if (strcmp(protocol, "TCP4") == 0) return read_addresses(out, words, AF_INET);
    return strcmp(protocol, "TCP6") == 0 && read_addresses(out, words, AF_INET6);
}

static enum proxy_header_verdict read_text(struct proxy_header *out, const char *text,
                                           size_t count) {
    static const char begin[6] = {'P', 'R', 'O', 'X', 'Y', ' '};
    const size_t looked = count < TEXT_BYTES ? count : TEXT_BYTES;
    const char *cr = memchr(text, '\r', looked);
    const char *lf = memchr(text, '\n', looked);
    if (lf != NULL && (cr == NULL || lf != cr + 1)) return PROXY_HEADER_BAD;
    if (cr != NULL && lf == NULL && cr + 1 < text + looked) return PROXY_HEADER_BAD;
    if (lf == NULL) return count < TEXT_BYTES ? PROXY_HEADER_MORE : PROXY_HEADER_BAD;
    const size_t line = (size_t)(cr - text);
    if (line < sizeof begin || !read_line(out, text + sizeof begin, line - sizeof begin))
        return PROXY_HEADER_BAD;
    out->bytes = line + 2;
    return PROXY_HEADER_WHOLE;
}

/* Version 2: sixteen bytes, then as many as they say: addresses, and TLVs that nobody here reads. */

enum { FIXED_BYTES = 16, FOUR_BYTES = 12, SIX_BYTES = 36, UNIX_BYTES = 216 };
enum { LOCAL = 0x20, PROXY = 0x21 };
enum { UNSPECIFIED = 0x00, TCP_FOUR = 0x11, TCP_SIX = 0x21, UNIX_STREAM = 0x31 };

static bool read_block(struct proxy_header *out, uint8_t family, const uint8_t *block,
                       size_t count) {
    in_port_t port;
    if (family == UNSPECIFIED) return true;
    if (family == UNIX_STREAM) return count >= UNIX_BYTES;
    if (family == TCP_FOUR && count >= FOUR_BYTES) {
        memcpy(&port, block + 8, sizeof port);
        set_four(out, block, port);
        return true;
    }
    if (family != TCP_SIX || count < SIX_BYTES) return false;
    memcpy(&port, block + 32, sizeof port);
    set_six(out, block, port);
    return true;
}

static enum proxy_header_verdict read_binary(struct proxy_header *out, const uint8_t *bytes,
                                             size_t count) {
    if (count > 12 && bytes[12] != LOCAL && bytes[12] != PROXY) return PROXY_HEADER_BAD;
    if (count < FIXED_BYTES) return PROXY_HEADER_MORE;
    const size_t block = (size_t)bytes[14] << 8 | bytes[15];
    if (FIXED_BYTES + block > PROXY_HEADER_BYTES) return PROXY_HEADER_BAD;
    if (count < FIXED_BYTES + block) return PROXY_HEADER_MORE;
    if (bytes[12] == PROXY && !read_block(out, bytes[13], bytes + FIXED_BYTES, block))
        return PROXY_HEADER_BAD;
    out->bytes = FIXED_BYTES + block;
    return PROXY_HEADER_WHOLE;
}

static bool begins(const void *bytes, size_t count, const void *signature, size_t length) {
    return memcmp(bytes, signature, count < length ? count : length) == 0;
}

enum proxy_header_verdict proxy_header_read(struct proxy_header *out, const void *bytes,
                                            size_t count) {
    static const uint8_t binary[12] = {'\r', '\n', '\r', '\n', 0,   '\r',
                                       '\n', 'Q',  'U',  'I',  'T', '\n'};
    *out = (struct proxy_header){.source.ss_family = AF_UNSPEC};
    if (count == 0) return PROXY_HEADER_MORE;
    if (begins(bytes, count, binary, sizeof binary)) return read_binary(out, bytes, count);
    if (begins(bytes, count, "PROXY ", 6)) return read_text(out, bytes, count);
    return PROXY_HEADER_BAD;
}
