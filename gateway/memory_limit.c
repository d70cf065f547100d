#include "gateway/memory_limit.h"

#include "core/transport/machine_memory.h"

uint64_t memory_limit_bytes(const struct share *share) {
    struct machine_memory memory;
    if (share->percent == 0) return share->bytes;
    machine_memory_read(&memory, "");
    return memory.limit_bytes / 100 * share->percent;
}
