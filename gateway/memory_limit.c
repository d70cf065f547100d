#include "gateway/memory_limit.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

/* The number in a file of one line; UINT64_MAX for "max" and for what is not there. */
static uint64_t read_number(const char *path) {
    uint64_t number = UINT64_MAX;
    FILE *file = fopen(path, "re");
    if (file == NULL) return number;
    if (fscanf(file, "%" SCNu64, &number) != 1) number = UINT64_MAX;
    fclose(file);
    return number;
}

/* Inside a container its own cgroup is the root that it sees. */
static uint64_t available_bytes(void) {
    static const char *const limits[] = {"/sys/fs/cgroup/memory.max",
                                         "/sys/fs/cgroup/memory/memory.limit_in_bytes"};
    uint64_t bytes = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        uint64_t limit = read_number(limits[i]);
        if (limit < bytes) bytes = limit;
    }
    return bytes;
}

uint64_t memory_limit_bytes(const struct share *share) {
    if (share->percent == 0) return share->bytes;
    return available_bytes() / 100 * share->percent;
}
