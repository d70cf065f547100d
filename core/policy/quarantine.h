/* quarantine - requests that killed too many workers, kept with their evidence until somebody looks.
 * thread: the owner's (the pool loop). Pure: time is passed in.
 * owns:   copies of the texts and a reference to the body of each request in it. Bounded in count and
 *         bytes of bodies: the oldest go first.
 * fails:  quarantine_add: MEMORY_EXHAUSTED, PAYLOAD_TOO_LARGE (the body alone is above the bound: kept
 *         without it). */
#ifndef CORE_POLICY_QUARANTINE_H
#define CORE_POLICY_QUARANTINE_H

#include "core/base/list.h"
#include "core/base/request.h"

#include <stddef.h>
#include <stdint.h>

#define QUARANTINE_REQUESTS 256
#define QUARANTINE_BYTES    (UINT64_C(64) * 1024 * 1024)
#define QUARANTINE_MARKS    8 /* the last so many deaths are kept */
#define QUARANTINE_EVIDENCE 192

struct quarantine_mark {
    uint64_t at_ns;
    uint32_t slot;
    char how[QUARANTINE_EVIDENCE]; /* signal or exit code, last stderr line */
};

/* The deaths of one request so far, as request->evidence; heap, freed with the request. */
struct request_evidence {
    uint32_t count; /* in all; the last QUARANTINE_MARKS are kept, oldest first */
    struct quarantine_mark marks[QUARANTINE_MARKS];
};

struct quarantined {
    struct list_node node;
    uint64_t number;      /* the request's id: names it, never used again */
    uint64_t kicked;      /* the id under which it runs again; 0: it does not */
    struct request *copy; /* texts, priority, pool and body; never submitted itself */
    uint64_t buried_ns, digest[2], body_bytes; /* of the body, kept or not */
    uint32_t marks_count; /* in all; the last QUARANTINE_MARKS are kept, oldest first */
    struct quarantine_mark marks[QUARANTINE_MARKS];
};

struct quarantine {
    struct list_node buried; /* oldest first */
    uint32_t count;
    uint64_t bytes, numbers, dropped; /* numbers: buried in all; dropped: to make room, of these */
};

void quarantine_init(struct quarantine *quarantine);
void quarantine_free(struct quarantine *quarantine);
/* marks_count: deaths in all; marks: the last QUARANTINE_MARKS of them, or all, oldest first. Out of memory
 * changes nothing. */
enum outcome quarantine_add(struct quarantine *quarantine, const struct request *request,
                            const struct quarantine_mark *marks, uint32_t marks_count,
                            uint64_t now_ns);
struct quarantined *quarantine_find(const struct quarantine *quarantine, uint64_t number);
void quarantine_remove(struct quarantine *quarantine, struct quarantined *entry);

#endif
