/* affinity - which processor, and which memory node, a slot of a pool gets.
 * thread: any; pure: what the machine has is passed in.
 * owns:   nothing.
 * fails:  affinity_parse: INVALID_REQUEST. */
#ifndef CORE_POLICY_AFFINITY_H
#define CORE_POLICY_AFFINITY_H

#include "core/base/cpus.h"

enum affinity_kind { AFFINITY_ANY, AFFINITY_AUTO, AFFINITY_LIST };

struct affinity {
    enum affinity_kind kind;
    struct cpus list; /* of LIST */
};

#define NODE_UNKNOWN (-1)

struct machine {
    struct cpus usable;         /* processors this process may run on */
    int16_t node_of[CPUS_MOST]; /* NUMA node of each processor, or NODE_UNKNOWN */
};

struct placement {
    int cpu;  /* -1: any of the usable ones */
    int node; /* where its memory should be; -1: anywhere, or there is only one */
};

/* any, auto, or a list such as 0-3,8. */
enum outcome affinity_parse(struct affinity *out, const char *text);
/* For slot `slot` of `slots`. auto: one processor each, spread evenly over nodes and processors; with more
 * slots than processors none gets two more than another. list: its usable processors, one per slot,
 * round robin; when none of them is usable, one of the others: to run there will fail. */
struct placement affinity_place(const struct affinity *affinity, const struct machine *machine,
                                uint32_t slot, uint32_t slots);

#endif
