#include "gateway/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
static const uint8_t loopback_6[16] = {[15] = 1};

static bool is_four(const uint8_t bytes[16]) {
    return memcmp(bytes, mapped, sizeof mapped) == 0;
}

struct address address_of(const struct sockaddr *socket_address) {
    struct address address = {.port = 0};
    if (socket_address->sa_family == AF_INET) {
        struct sockaddr_in four;
        memcpy(&four, socket_address, sizeof four);
        memcpy(address.bytes, mapped, sizeof mapped);
        memcpy(address.bytes + 12, &four.sin_addr, 4);
        address.port = ntohs(four.sin_port);
    } else if (socket_address->sa_family == AF_INET6) {
        struct sockaddr_in6 six;
        memcpy(&six, socket_address, sizeof six);
        memcpy(address.bytes, &six.sin6_addr, 16);
        address.port = ntohs(six.sin6_port);
    }
    return address;
}

/* A number up to `most` that ends the text. */
static bool number_read(const char *text, unsigned long most, unsigned long *out) {
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 5 || text[digits] != '\0') return false;
    *out = strtoul(text, NULL, 10);
    return *out <= most;
}

static bool host_read(uint8_t bytes[16], const char *host) {
    memcpy(bytes, mapped, sizeof mapped);
    if (inet_pton(AF_INET, host, bytes + 12) == 1) return true;
    return inet_pton(AF_INET6, host, bytes) == 1;
}

/* Where the host of "HOST:PORT" or "[HOST]:PORT" ends; NULL: there is no port. */
static char *port_of(char *text, bool brackets) {
    char *colon = strchr(text, ':');
    if (!brackets) return colon != NULL && strchr(colon + 1, ':') == NULL ? colon : NULL;
    return colon;
}

bool address_read(struct address *out, const char *text, size_t bytes) {
    char copy[ADDRESS_TEXT_BYTES];
    *out = (struct address){.port = 0};
    if (bytes >= sizeof copy) return false;
    memcpy(copy, text, bytes);
    copy[bytes] = '\0';
    char *host = copy, *after = copy;
    bool brackets = copy[0] == '[';
    if (brackets) {
        host = copy + 1;
        after = strchr(copy, ']');
        if (after == NULL) return false;
        *after++ = '\0';
        if (*after != '\0' && *after != ':') return false;
    }
    char *colon = port_of(after, brackets);
    unsigned long port = 0;
    if (colon != NULL && !number_read(colon + 1, UINT16_MAX, &port)) return false;
    if (colon != NULL) *colon = '\0';
    struct address read = {.port = (uint16_t)port};
    if (!host_read(read.bytes, host)) return false;
    *out = read;
    return true;
}

void address_write(const struct address *address, char text[ADDRESS_TEXT_BYTES]) {
    char host[INET6_ADDRSTRLEN] = "";
    bool four = is_four(address->bytes);
    inet_ntop(four ? AF_INET : AF_INET6, four ? address->bytes + 12 : address->bytes, host,
              sizeof host);
    snprintf(text, ADDRESS_TEXT_BYTES, four ? "%s:%u" : "[%s]:%u", host, address->port);
}

bool address_is_loopback(const struct address *address) {
    if (is_four(address->bytes)) return address->bytes[12] == 127;
    return memcmp(address->bytes, loopback_6, sizeof loopback_6) == 0;
}

struct address_key address_key(const struct address *address) {
    struct address_key key = {{0}};
    memcpy(key.bytes, address->bytes, is_four(address->bytes) ? 16 : 8);
    return key;
}

/* Whether the bits from `bits` on are all zero. */
static bool ends_in_zeros(const struct network *network) {
    for (unsigned bit = network->bits; bit < 128; bit++)
        if ((network->bytes[bit / 8] & (0x80U >> bit % 8)) != 0) return false;
    return true;
}

bool network_read(struct network *out, const char *text) {
    struct network read = {.bits = 128};
    char host[ADDRESS_TEXT_BYTES];
    *out = (struct network){.bits = 128};
    const char *slash = strchr(text, '/');
    size_t bytes = slash != NULL ? (size_t)(slash - text) : strlen(text);
    if (bytes >= sizeof host) return false;
    memcpy(host, text, bytes);
    host[bytes] = '\0';
    if (!host_read(read.bytes, host)) return false;
    bool four = strchr(host, ':') == NULL;
    unsigned long bits;
    if (slash != NULL) {
        if (!number_read(slash + 1, four ? 32 : 128, &bits)) return false;
        read.bits = (uint8_t)(bits + (four ? 96 : 0));
    }
    if (!ends_in_zeros(&read)) return false;
    *out = read;
    return true;
}

bool network_has(const struct network *network, const struct address *address) {
    size_t whole = network->bits / 8, rest = network->bits % 8;
    if (memcmp(network->bytes, address->bytes, whole) != 0) return false;
    if (rest == 0) return true;
    uint8_t mask = (uint8_t)(0xff << (8 - rest));
    return (network->bytes[whole] & mask) == (address->bytes[whole] & mask);
}
