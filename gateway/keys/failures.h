/* failures - the addresses that have lately shown wrong keys, and those that must wait for it.
 * thread: any, under a tiny lock; an address that never failed costs one load while nobody waits.
 * owns:   itself; fixed size: the longest unused of a group of addresses gives way.
 * fails:  failures_open: MEMORY_EXHAUSTED. The time comes in.
 *
 * FAILURES_MOST within FAILURES_WINDOW_NS and an address waits FAILURES_WAIT_NS. IPv6 counts by /64, because
 * one client has all of it; an IPv4 address within IPv6 counts as itself. Both doors share one. */
#ifndef GATEWAY_KEYS_FAILURES_H
#define GATEWAY_KEYS_FAILURES_H

#include "core/base/outcome.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#define FAILURES_MOST      10u
#define FAILURES_WINDOW_NS UINT64_C(10000000000)
#define FAILURES_WAIT_NS   UINT64_C(10000000000)

struct failures;
struct sockaddr;

enum outcome failures_open(struct failures **out);
void failures_close(struct failures *failures); /* NULL is allowed */
/* How long this address still waits; 0: it does not. */
uint64_t failures_wait_ns(struct failures *failures, const struct in6_addr *address,
                          uint64_t now_ns);
/* True: with this one its wait begins. */
bool failures_add(struct failures *failures, const struct in6_addr *address, uint64_t now_ns);

/* IPv4 is mapped into IPv6; what is neither is the unspecified address. */
struct in6_addr failures_address(const struct sockaddr *address);
/* "1.2.3.4:5" or "[::1]:5", as logs write them. */
struct in6_addr failures_address_of_text(const char *text);

#endif
