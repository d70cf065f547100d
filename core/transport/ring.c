#include "core/transport/ring.h"

#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static size_t whole_grains(size_t bytes) {
    return (bytes + RING_GRAIN - 1) & ~(RING_GRAIN - 1);
}

/* Copies in at the counter, around the end if need be. */
static void copy_in(const struct ring_writer *writer, uint64_t counter, const uint8_t *data,
                    size_t bytes) {
    size_t at = (size_t)counter & (writer->size - 1);
    size_t first = writer->size - at < bytes ? writer->size - at : bytes;
    memcpy(writer->bytes + at, data, first);
    memcpy(writer->bytes, data + first, bytes - first);
}

/* The reader's counter is looked at only when what is known of it is not enough: each look fetches a
 * cache line from the other side. */
static enum ring_result find_room(struct ring_writer *writer, size_t bytes) {
    if (bytes <= writer->size - (writer->written - writer->read_seen)) return RING_OK;
    uint64_t read = atomic_load_explicit(&writer->head->read, memory_order_acquire);
    if (writer->written - read > writer->size) return RING_BROKEN;
    writer->read_seen = read;
    return bytes <= writer->size - (writer->written - read) ? RING_OK : RING_FULL;
}

enum ring_result ring_write(struct ring_writer *writer, const struct iovec *parts, size_t count) {
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        if (parts[i].iov_len > writer->size) return RING_FULL;
        bytes += parts[i].iov_len;
    }
    bytes = whole_grains(bytes);
    enum ring_result room = find_room(writer, bytes);
    if (room != RING_OK) return room;
    uint64_t counter = writer->written;
    for (size_t i = 0; i < count; i++) {
        if (parts[i].iov_len == 0) continue;
        copy_in(writer, counter, parts[i].iov_base, parts[i].iov_len);
        counter += parts[i].iov_len;
    }
    writer->written += bytes;
    atomic_store(&writer->head->written, writer->written);
    _Atomic uint32_t *asleep = &writer->head->asleep;
    bool wake = atomic_load(asleep) != 0 && atomic_exchange(asleep, 0) != 0;
    return wake ? RING_OK_WAKE : RING_OK;
}

enum ring_result ring_waiting(const struct ring_reader *reader, size_t *bytes) {
    uint64_t waiting = atomic_load(&reader->head->written) - reader->read;
    *bytes = 0;
    if (waiting > reader->size || waiting % RING_GRAIN != 0) return RING_BROKEN;
    *bytes = (size_t)waiting;
    return RING_OK;
}

void ring_copy(const struct ring_reader *reader, size_t offset, void *out, size_t bytes) {
    size_t at = ((size_t)reader->read + offset) & (reader->size - 1);
    size_t first = reader->size - at < bytes ? reader->size - at : bytes;
    memcpy(out, reader->bytes + at, first);
    memcpy((uint8_t *)out + first, reader->bytes, bytes - first);
    /* What was copied is looked at, and not what the other side makes of it meanwhile. */
    atomic_signal_fence(memory_order_seq_cst);
}

void ring_skip(struct ring_reader *reader, size_t bytes) {
    reader->read += whole_grains(bytes);
}

void ring_release(struct ring_reader *reader) {
    atomic_store_explicit(&reader->head->read, reader->read, memory_order_release);
}

bool ring_fall_asleep(struct ring_reader *reader) {
    atomic_store(&reader->head->asleep, 1);
    if (atomic_load(&reader->head->written) == reader->read) return true;
    atomic_store(&reader->head->asleep, 0);
    return false;
}

void ring_stay_awake(struct ring_reader *reader) {
    atomic_store(&reader->head->asleep, 0);
}

void ring_sleep(_Atomic uint32_t *asleep, enum ring_sharing sharing) {
    int operation = sharing == RING_SHARED ? FUTEX_WAIT : FUTEX_WAIT_PRIVATE;
    syscall(SYS_futex, asleep, operation, 1, NULL, NULL, 0);
}

void ring_wake(_Atomic uint32_t *asleep, enum ring_sharing sharing) {
    /* Either the owner sees what was written before this, or it is seen to sleep. */
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load(asleep) == 0 || atomic_exchange(asleep, 0) == 0) return;
    int operation = sharing == RING_SHARED ? FUTEX_WAKE : FUTEX_WAKE_PRIVATE;
    syscall(SYS_futex, asleep, operation, 1, NULL, NULL, 0);
}
