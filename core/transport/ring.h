/* ring - a one-way pipe of bytes in memory that two sides share, one writing, one reading; neither
 *        trusts the other.
 * thread: a ring_writer belongs to one thread, a ring_reader to one other.
 * owns:   nothing: the memory is the transport's (a sealed memfd, or private for a thread).
 * fails:  RING_BROKEN when the other side's counter makes no sense; then the ring is of no use.
 *
 * Both counters only grow; their difference is what waits. Each side keeps its own counter privately and
 * reads only the other's from the shared memory, so whatever is scribbled there, no access leaves the
 * ring. A reader that is about to sleep says so in `asleep` and looks once more (Dekker's pattern, both
 * sides sequentially consistent); a writer that sees it asleep clears it and must wake it. */
#ifndef CORE_TRANSPORT_RING_H
#define CORE_TRANSPORT_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define RING_BYTES ((size_t)64 * 1024) /* a power of two */

struct ring_memory {
    _Alignas(64) _Atomic uint64_t written;
    _Alignas(64) _Atomic uint64_t read;
    _Alignas(64) _Atomic uint32_t asleep; /* the reader's; also its futex word */
    _Alignas(64) uint8_t bytes[RING_BYTES];
};

struct ring_writer {
    struct ring_memory *memory;
    uint64_t written;
};

struct ring_reader {
    struct ring_memory *memory;
    uint64_t read;
};

enum ring_result {
    RING_OK,
    RING_OK_WAKE, /* done, and the other side sleeps: wake it */
    RING_FULL,    /* not enough room now: nothing was written */
    RING_BROKEN
};

/* All parts or nothing, visible to the reader at once. */
enum ring_result ring_write(struct ring_writer *writer, const struct iovec *parts, size_t count);

/* Copies up to room bytes out; *bytes is 0 when nothing waits. */
enum ring_result ring_read(struct ring_reader *reader, uint8_t *out, size_t room, size_t *bytes);
/* Says that the reader will sleep. False: something came meanwhile (or the ring is broken), do not. */
bool ring_fall_asleep(struct ring_reader *reader);
void ring_stay_awake(struct ring_reader *reader);

/* For a reader that sleeps on the word itself; shared: the sides are two processes. */
enum ring_sharing { RING_PRIVATE, RING_SHARED };
void ring_sleep(struct ring_reader *reader, enum ring_sharing sharing);
void ring_wake(struct ring_memory *memory, enum ring_sharing sharing);

#endif
