#include "core/base/cpus.h"

#include <assert.h>
#include <errno.h>
#include <linux/mempolicy.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NODES_MOST 1024 /* above what Linux can be built for */

static_assert(sizeof(unsigned long) == sizeof(uint64_t), "the kernel's sets are made of longs");

/* Moves *text behind the number. */
static bool parse_cpu(const char **text, uint32_t *cpu) {
    const char *start = *text;
    *cpu = 0;
    for (; **text >= '0' && **text <= '9'; (*text)++) {
        *cpu = *cpu * 10 + (uint32_t)(**text - '0');
        if (*cpu >= CPUS_MOST) return false;
    }
    return *text > start;
}

static bool parse_range(const char **text, struct cpus *cpus) {
    uint32_t first, last;
    if (!parse_cpu(text, &first)) return false;
    last = first;
    if (**text == '-') {
        (*text)++;
        if (!parse_cpu(text, &last) || last < first) return false;
    }
    for (uint32_t cpu = first; cpu <= last; cpu++) cpus_add(cpus, cpu);
    return true;
}

enum outcome cpus_parse(struct cpus *out, const char *text) {
    *out = (struct cpus){0};
    bool good = parse_range(&text, out);
    while (good && *text == ',') {
        text++;
        good = parse_range(&text, out);
    }
    if (good && *text == '\0') return OK;
    *out = (struct cpus){0};
    return INVALID_REQUEST;
}

void cpus_add(struct cpus *cpus, uint32_t cpu) {
    assert(cpu < CPUS_MOST);
    cpus->bits[cpu / 64] |= UINT64_C(1) << cpu % 64;
}

bool cpus_has(const struct cpus *cpus, uint32_t cpu) {
    return cpu < CPUS_MOST && (cpus->bits[cpu / 64] >> cpu % 64 & 1) != 0;
}

uint32_t cpus_count(const struct cpus *cpus) {
    uint32_t count = 0;
    for (uint32_t cpu = 0; cpu < CPUS_MOST; cpu++) count += cpus_has(cpus, cpu);
    return count;
}

uint32_t cpus_at(const struct cpus *cpus, uint32_t place) {
    for (uint32_t cpu = 0; cpu < CPUS_MOST; cpu++)
        if (cpus_has(cpus, cpu) && place-- == 0) return cpu;
    assert(false && "there are not so many");
    return 0;
}

int cpus_read_own(struct cpus *out) {
    *out = (struct cpus){0};
    /* Not libc's: it wants its own cpu_set_t. The kernel writes at most this, or refuses. */
    return syscall(SYS_sched_getaffinity, 0, sizeof out->bits, out->bits) < 0 ? errno : 0;
}

int cpus_run_on(const struct cpus *cpus) {
    return syscall(SYS_sched_setaffinity, 0, sizeof cpus->bits, cpus->bits) < 0 ? errno : 0;
}

int cpus_prefer_node(uint32_t node) {
    unsigned long mask[NODES_MOST / 64] = {0};
    if (node >= NODES_MOST) return EINVAL;
    mask[node / 64] = 1UL << node % 64;
    /* The kernel takes one bit less than it is told. */
    return syscall(SYS_set_mempolicy, MPOL_PREFERRED, mask, NODES_MOST + 1UL) < 0 ? errno : 0;
}
