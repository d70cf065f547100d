/* addresses - how many connections each address has, and how often it lately failed to prove who it is.
 *             An IPv6 address counts with all of its /64 (address_key).
 * thread: any; a small lock, held for a look-up.
 * owns:   its entries: one for each address that is connected, and at most ADDRESSES_FAILING more.
 * fails:  addresses_open: MEMORY_EXHAUSTED. Without memory for an entry addresses_enter refuses, and a failure
 *         is not counted. */
#ifndef GATEWAY_EDGE_ADDRESSES_H
#define GATEWAY_EDGE_ADDRESSES_H

#include "core/base/outcome.h"
#include "gateway/address.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ADDRESSES_FAILURES    10 /* more than so many within the window throttle an address */
#define ADDRESSES_WINDOW_NS   UINT64_C(10000000000)
#define ADDRESSES_THROTTLE_NS UINT64_C(10000000000)
#define ADDRESSES_FAILING     4096 /* addresses whose failures are kept; the oldest are forgotten */

struct addresses;
/* expected: how many connections there may be. */
enum outcome addresses_open(struct addresses **out, size_t expected);
void addresses_close(struct addresses *addresses); /* NULL is allowed */

/* Counts a connection, unless the address already has `limit` of them. */
bool addresses_enter(struct addresses *addresses, const struct address *address, uint32_t limit);
void addresses_leave(struct addresses *addresses, const struct address *address);

/* An attempt to prove who one is has failed. */
void addresses_failed(struct addresses *addresses, const struct address *address, uint64_t now_ns);
/* It has failed too often: its further attempts are not looked at. */
bool addresses_is_throttled(struct addresses *addresses, const struct address *address,
                            uint64_t now_ns);

/* How many entries there are: what the tests hold on to. */
size_t addresses_count(struct addresses *addresses);

#endif
