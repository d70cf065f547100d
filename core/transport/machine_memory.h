/* machine_memory - what the machine says about memory: the limit over this process, what of it is used,
 *                  how much the kernel stalls for it, and what one process holds.
 * thread: any but a loop's: each call reads /proc and /sys.
 * owns:   nothing.
 * fails:  never: what cannot be read, or makes no sense, is 0 (a stall: negative).
 *
 * The limit is the smallest of the machine's memory and of those over this process's cgroup (version 1
 * or 2) that can be seen from here; what is used is of the same. root is put before every path: "". */
#ifndef CORE_TRANSPORT_MACHINE_MEMORY_H
#define CORE_TRANSPORT_MACHINE_MEMORY_H

#include <stdint.h>
#include <sys/types.h>

struct machine_memory {
    uint64_t limit_bytes; /* 0: unknown */
    uint64_t used_bytes;  /* without what the kernel would give back at once; 0: unknown */
    double stall_percent; /* PSI, "some", average of 10 s; negative: unknown */
};

/* A fraction of a millisecond; every second is often enough. */
void machine_memory_read(struct machine_memory *out, const char *root);
/* A process's share of what it maps (PSS); resident bytes where that cannot be read. Costs 11 ms per GiB,
 * in which the process may have to wait with mapping memory: every ten seconds is often enough. */
uint64_t machine_memory_of(pid_t pid, const char *root);
/* Its resident bytes, shared ones in full; at once, and no burden to it. */
uint64_t machine_memory_resident(pid_t pid, const char *root);

#endif
