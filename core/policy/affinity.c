#include "core/policy/affinity.h"

#include <assert.h>
#include <string.h>

static const struct placement anywhere = {.cpu = -1, .node = NODE_UNKNOWN};

enum outcome affinity_parse(struct affinity *out, const char *text) {
    *out = (struct affinity){.kind = AFFINITY_ANY};
    if (strcmp(text, "any") == 0) return OK;
    if (strcmp(text, "auto") == 0) {
        out->kind = AFFINITY_AUTO;
        return OK;
    }
    enum outcome outcome = cpus_parse(&out->list, text);
    if (outcome == OK) out->kind = AFFINITY_LIST;
    return outcome;
}

static bool has_several_nodes(const struct machine *machine) {
    int seen = NODE_UNKNOWN;
    for (uint32_t cpu = 0; cpu < CPUS_MOST; cpu++) {
        int node = machine->node_of[cpu];
        if (!cpus_has(&machine->usable, cpu) || node == NODE_UNKNOWN) continue;
        if (seen != NODE_UNKNOWN && seen != node) return true;
        seen = node;
    }
    return false;
}

static struct placement place_on(const struct machine *machine, uint32_t cpu) {
    int node = has_several_nodes(machine) ? machine->node_of[cpu] : NODE_UNKNOWN;
    return (struct placement){.cpu = (int)cpu, .node = node};
}

/* The usable processor at this place, node by node, rising within each. */
static uint32_t nth_by_node(const struct machine *machine, uint32_t place) {
    for (int node = NODE_UNKNOWN; node <= INT16_MAX; node++)
        for (uint32_t cpu = 0; cpu < CPUS_MOST; cpu++)
            if (cpus_has(&machine->usable, cpu) && machine->node_of[cpu] == node && place-- == 0)
                return cpu;
    assert(false && "there are not so many");
    return 0;
}

/* Each full round of slots takes every processor once; the slots of the last, or only, one take every
 * second, third, … so that they meet no sooner than they must, and every node has its share. */
static struct placement place_evenly(const struct machine *machine, uint32_t slot, uint32_t slots) {
    uint32_t count = cpus_count(&machine->usable);
    if (count == 0) return anywhere;
    uint32_t round_start = slot - slot % count, in_round = slots - round_start;
    if (in_round > count) in_round = count;
    uint64_t place = (uint64_t)(slot % count) * count / in_round;
    return place_on(machine, nth_by_node(machine, (uint32_t)place));
}

static struct placement place_in_list(const struct cpus *list, const struct machine *machine,
                                      uint32_t slot) {
    struct cpus usable = *list;
    for (size_t i = 0; i < sizeof usable.bits / sizeof usable.bits[0]; i++)
        usable.bits[i] &= machine->usable.bits[i];
    const struct cpus *from = cpus_count(&usable) > 0 ? &usable : list;
    return place_on(machine, cpus_at(from, slot % cpus_count(from)));
}

struct placement affinity_place(const struct affinity *affinity, const struct machine *machine,
                                uint32_t slot, uint32_t slots) {
    assert(slot < slots);
    switch (affinity->kind) {
    case AFFINITY_ANY: return anywhere;
    case AFFINITY_AUTO: return place_evenly(machine, slot, slots);
    case AFFINITY_LIST: return place_in_list(&affinity->list, machine, slot);
    }
    return anywhere;
}
