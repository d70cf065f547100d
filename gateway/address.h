/* address - a machine's IP address and port as a value: IPv4 as the mapped IPv6 address, so that one address has
 *           one form. And networks of them.
 * thread: any.
 * owns:   nothing.
 * fails:  address_read, network_read: false for a text that is none. */
#ifndef GATEWAY_ADDRESS_H
#define GATEWAY_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct address {
    uint8_t bytes[16];
    uint16_t port;
};

struct network {
    uint8_t bytes[16];
    uint8_t bits; /* that count, from 0 to 128; of an IPv4 network 96 more than its text says */
};

/* Who has it? A whole IPv4 address, or the first half of an IPv6 one: a household gets all of the second. */
struct address_key {
    uint8_t bytes[16];
};

/* All zero for what is neither AF_INET nor AF_INET6. */
struct address address_of(const struct sockaddr *socket_address);
/* "10.0.0.1", "10.0.0.1:80", "::1", "[::1]", "[::1]:80". */
bool address_read(struct address *out, const char *text, size_t bytes);
/* "10.0.0.1:80", "[::1]:80". */
#define ADDRESS_TEXT_BYTES 56
void address_write(const struct address *address, char text[ADDRESS_TEXT_BYTES]);
bool address_is_loopback(const struct address *address);
struct address_key address_key(const struct address *address);

/* "10.0.0.0/8", "2001:db8::/32", or a single address. Bits behind the prefix must be zero. */
bool network_read(struct network *out, const char *text);
bool network_has(const struct network *network, const struct address *address);

#endif
