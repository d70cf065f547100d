/* ring - a one-way pipe of records in memory that two sides share, one writing, one reading; neither
 *        trusts the other.
 * thread: a ring_writer belongs to one thread, a ring_reader to one other.
 * owns:   nothing: the memory is the pair's (a sealed memfd, or private for a thread).
 * fails:  RING_BROKEN when the other side's counter makes no sense; then the ring is of no use.
 *
 * Both counters only grow, by whole grains; their difference is what waits. Each side keeps its own
 * counter and every size privately and reads only the other's counter from the shared memory, so whatever
 * is scribbled there, no access leaves the ring. A reader that is about to sleep says so in `asleep` and
 * looks once more (Dekker's pattern, both sides sequentially consistent); who finds it asleep clears it
 * and must wake it. */
#ifndef CORE_TRANSPORT_RING_H
#define CORE_TRANSPORT_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define RING_GRAIN ((size_t)32) /* a record begins at a multiple of it */

struct ring_head {
    _Alignas(64) _Atomic uint64_t written;
    _Alignas(64) _Atomic uint64_t read;
    _Alignas(64) _Atomic uint32_t asleep;
};

struct ring_writer {
    struct ring_head *head; /* NULL: there is no ring */
    uint8_t *bytes;
    size_t size; /* a power of two */
    uint64_t written, read_seen;
};

struct ring_reader {
    struct ring_head *head;
    const uint8_t *bytes;
    size_t size;
    uint64_t read;
};

enum ring_result {
    RING_OK,
    RING_OK_WAKE, /* done, and the other side sleeps: wake it */
    RING_FULL,    /* not enough room now: nothing was written */
    RING_BROKEN
};

/* One record of all parts, or nothing; visible to the reader at once. */
enum ring_result ring_write(struct ring_writer *writer, const struct iovec *parts, size_t count);

/* How many bytes wait; a multiple of the grain. */
enum ring_result ring_waiting(const struct ring_reader *reader, size_t *bytes);
/* Copies out what lies so far behind the next byte; at most what waits may be asked for. */
void ring_copy(const struct ring_reader *reader, size_t offset, void *out, size_t bytes);
/* Steps over a record, whose room is the writer's again after ring_release. */
void ring_skip(struct ring_reader *reader, size_t bytes);
void ring_release(struct ring_reader *reader);
/* Says that the reader will sleep. False: something came meanwhile (or the ring is broken), do not. */
bool ring_fall_asleep(struct ring_reader *reader);
void ring_stay_awake(struct ring_reader *reader);

/* A word that is not 0 while its owner sleeps on it (a futex). Shared: the sides are two processes. */
enum ring_sharing { RING_PRIVATE, RING_SHARED };
void ring_sleep(_Atomic uint32_t *asleep, enum ring_sharing sharing);
/* Wakes the owner if it sleeps; one system call at most, none when it is awake. */
void ring_wake(_Atomic uint32_t *asleep, enum ring_sharing sharing);

#endif
