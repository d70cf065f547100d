#include "core/transport/ring.h"

#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static size_t place(uint64_t counter) {
    return (size_t)(counter & (RING_BYTES - 1));
}

/* Copies in at the counter, around the end if need be. */
static void copy_in(struct ring_memory *memory, uint64_t counter, const uint8_t *data,
                    size_t bytes) {
    size_t at = place(counter), first = RING_BYTES - at < bytes ? RING_BYTES - at : bytes;
    memcpy(memory->bytes + at, data, first);
    memcpy(memory->bytes, data + first, bytes - first);
}

enum ring_result ring_write(struct ring_writer *writer, const struct iovec *parts, size_t count) {
    struct ring_memory *memory = writer->memory;
    uint64_t waiting = writer->written - atomic_load_explicit(&memory->read, memory_order_acquire);
    if (waiting > RING_BYTES) return RING_BROKEN;
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        if (parts[i].iov_len > RING_BYTES) return RING_FULL;
        bytes += parts[i].iov_len;
    }
    if (bytes > RING_BYTES - waiting) return RING_FULL;
    for (size_t i = 0; i < count; i++) {
        if (parts[i].iov_len == 0) continue;
        copy_in(memory, writer->written, parts[i].iov_base, parts[i].iov_len);
        writer->written += parts[i].iov_len;
    }
    atomic_store(&memory->written, writer->written);
    bool asleep = atomic_load(&memory->asleep) != 0 && atomic_exchange(&memory->asleep, 0) != 0;
    return asleep ? RING_OK_WAKE : RING_OK;
}

enum ring_result ring_read(struct ring_reader *reader, uint8_t *out, size_t room, size_t *bytes) {
    struct ring_memory *memory = reader->memory;
    uint64_t waiting = atomic_load(&memory->written) - reader->read;
    *bytes = 0;
    if (waiting > RING_BYTES) return RING_BROKEN;
    size_t taken = waiting < room ? (size_t)waiting : room;
    if (taken == 0) return RING_OK;
    size_t at = place(reader->read), first = RING_BYTES - at < taken ? RING_BYTES - at : taken;
    memcpy(out, memory->bytes + at, first);
    memcpy(out + first, memory->bytes, taken - first);
    reader->read += taken;
    atomic_store_explicit(&memory->read, reader->read, memory_order_release);
    *bytes = taken;
    return RING_OK;
}

bool ring_fall_asleep(struct ring_reader *reader) {
    atomic_store(&reader->memory->asleep, 1);
    if (atomic_load(&reader->memory->written) == reader->read) return true;
    atomic_store(&reader->memory->asleep, 0);
    return false;
}

void ring_stay_awake(struct ring_reader *reader) {
    atomic_store(&reader->memory->asleep, 0);
}

void ring_sleep(struct ring_reader *reader, enum ring_sharing sharing) {
    int operation = sharing == RING_SHARED ? FUTEX_WAIT : FUTEX_WAIT_PRIVATE;
    syscall(SYS_futex, &reader->memory->asleep, operation, 1, NULL, NULL, 0);
}

void ring_wake(struct ring_memory *memory, enum ring_sharing sharing) {
    int operation = sharing == RING_SHARED ? FUTEX_WAKE : FUTEX_WAKE_PRIVATE;
    syscall(SYS_futex, &memory->asleep, operation, 1, NULL, NULL, 0);
}
