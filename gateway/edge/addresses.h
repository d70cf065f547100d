/* addresses - how many connections each address has, and how often it has flooded us lately.
 *             An IPv6 address counts with all of its /64 (address_key).
 * thread: any; a small lock, held for a look-up.
 * owns:   its entries: one for each address that is connected, and at most ADDRESSES_FLOODING more.
 * fails:  addresses_open: MEMORY_EXHAUSTED. Without memory for an entry addresses_enter refuses, and a flood
 *         is not counted. */
#ifndef GATEWAY_EDGE_ADDRESSES_H
#define GATEWAY_EDGE_ADDRESSES_H

#include "core/base/outcome.h"
#include "gateway/address.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ADDRESSES_FLOODS                                                                           \
    2 /* with more floods than so many within the window we are wary of an address */
#define ADDRESSES_WINDOW_NS UINT64_C(10000000000)
#define ADDRESSES_WARY_NS   UINT64_C(10000000000)
#define ADDRESSES_FLOODING  4096 /* addresses whose floods are kept; the oldest are forgotten */

struct addresses;
/* expected: how many connections there may be. */
enum outcome addresses_open(struct addresses **out, size_t expected);
void addresses_close(struct addresses *addresses); /* NULL is allowed */

/* Counts a connection, unless the address already has `limit` of them. */
bool addresses_enter(struct addresses *addresses, const struct address *address, uint32_t limit);
void addresses_leave(struct addresses *addresses, const struct address *address);

/* The guard has ended a connection of its. */
void addresses_flooded(struct addresses *addresses, const struct address *address, uint64_t now_ns);
bool addresses_is_wary(struct addresses *addresses, const struct address *address, uint64_t now_ns);

/* How many entries there are: what the tests hold on to. */
size_t addresses_count(struct addresses *addresses);

#endif
