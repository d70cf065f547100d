/* pick - which of the slots with room gets the next request, and behind whom the one after it waits.
 * thread: any; pure: random numbers are passed in. owns: nothing.
 * fails:  NULL when no slot has room. A request that must be alone (solo) needs an empty slot. */
#ifndef CORE_POLICY_PICK_H
#define CORE_POLICY_PICK_H

#include "core/policy/pool_options.h"
#include "core/policy/slot.h"

/* As the policy says; NULL: no slot has room. */
struct slot *pick_slot(enum pick_policy policy, struct slot *slots, size_t count, bool solo,
                       uint64_t random);

/* Least loaded; among equals the one used last, so that the others can go idle. The default. */
struct slot *pick_least_loaded(struct slot *slots, size_t count, bool solo);
/* The one used last, however loaded it is; among equals the least loaded. Fills one slot after another. */
struct slot *pick_most_recent(struct slot *slots, size_t count, bool solo);
/* The less loaded of two different slots that `random` draws (Mitzenmacher 2001), the first drawn among
 * equals. When neither has room all are looked at, so none stays free beside work that waits. */
struct slot *pick_two_choices(struct slot *slots, size_t count, bool solo, uint64_t random);

/* The slot that a request is handed ahead to while no slot has room: of those that can serve, whose work
 * is not alone, that hold less than `limit` ahead and whose running work began at busy_since_ns or later,
 * the one with the least ahead; among equals the one whose work began first. NULL: none may hold more. */
struct slot *pick_for_staging(struct slot *slots, size_t count, uint32_t limit,
                              uint64_t busy_since_ns);

#endif
