/* pick - which of the slots with room gets the next request.
 * thread: any; pure. owns: nothing. fails: NULL when no slot has room. */
#ifndef CORE_POLICY_PICK_H
#define CORE_POLICY_PICK_H

#include "core/policy/slot.h"

/* Least loaded; among equals the one used last, so that the others can go idle. */
struct slot *pick_least_loaded(struct slot *slots, size_t count, bool solo);

#endif
