/* request - one piece of work on its way through the pool, and its answer.
 * thread: the front end fills it, gate_submit moves it to the pool loop, `done` moves it back.
 *         Between the two nobody but the pool loop touches it.
 * owns:   its texts (one block), its body reference, its reply. request_free releases all of it.
 * fails:  request_create: MEMORY_EXHAUSTED. */
#ifndef CORE_BASE_REQUEST_H
#define CORE_BASE_REQUEST_H

#include "core/base/body.h"
#include "core/base/list.h"
#include "core/base/outcome.h"
#include "core/base/ranked.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PRIORITIES(X)                                                                              \
    X(CRITICAL, "critical") X(HIGH, "high") X(NORMAL, "normal") X(LOW, "low") X(BATCH, "batch")

enum priority {
#define PRIORITY_NAME(name, text) PRIORITY_##name,
    PRIORITIES(PRIORITY_NAME)
#undef PRIORITY_NAME
        PRIORITY_COUNT
};
const char *priority_name(enum priority priority);
/* PRIORITY_COUNT when the text is no priority. */
enum priority priority_from_name(const char *text);

/* Who found what went wrong. */
enum source { SOURCE_GATEWAY, SOURCE_WORKER };

/* Where a live request is. A follower waits for the answer of the identical request that leads it. */
enum request_state {
    REQUEST_NEW,
    REQUEST_QUEUED,
    REQUEST_RUNNING, /* out at a slot, staged or begun */
    REQUEST_FOLLOWING,
    REQUEST_DONE
};

/* Why a live request is to be given up. */
enum cancel_cause { CANCEL_CLIENT_GONE, CANCEL_ASKED };

struct pair {
    const char *name;
    const char *value;
};

/* What a worker answered; freed by reply_free. metadata is one heap block: the pairs, their texts. */
struct reply {
    struct body *body;  /* never NULL after OK; may be empty */
    char *content_type; /* NULL: application/octet-stream */
    struct pair *metadata;
    size_t metadata_count;
};

struct request;
/* Called exactly once, on the pool loop. May run before gate_submit returned. It must only hand the
 * request on to the thread that owns it; that thread calls request_free. */
typedef void request_done_fn(struct request *request);

/* Whoever takes what `done` only puts down: woken on the pool loop, once for all that were answered
 * together. Lives until the gate is drained. */
struct request_home {
    void (*wake)(struct request_home *home);
    struct request_home *next; /* the pool's own */
    _Atomic uint32_t
        hands; /* the pool is between a done and the wake: it must not go before this is 0 */
};

struct request {
    /* Set by the front end before gate_submit. */
    uint32_t pool; /* number of the pool, as gate_hold_pool gave it */
    enum priority priority;
    uint64_t arrived_ns;    /* end of its headers; deadline and queue time run from here */
    uint64_t deadline_ns;   /* CLOCK_NEVER: none */
    struct body *body;      /* may be NULL: no body */
    const char *request_id; /* what clients and logs call it; at most 128 visible characters */
    const char *content_type, *operation, *tenant, *batch_key,
        *traceparent; /* "" where not given */
    struct pair *metadata;
    size_t metadata_count;
    request_done_fn *done;
    struct request_home *home; /* NULL: done wakes whom it has to */
    void *owner;               /* the front end's own */

    /* Set by the pool; the front end reads them once done was called. */
    uint64_t id; /* by gate_submit: names it in gate_cancel */
    enum outcome outcome;
    enum source source;
    char *detail;       /* text for people or NULL; heap, freed with the request */
    struct reply reply; /* filled when outcome is OK */
    uint32_t slot;      /* the last slot that had it; REQUEST_NO_SLOT if none did */
    uint32_t attempts;
    uint64_t queue_ns, cold_ns, run_ns;
    uint64_t retry_after_ns; /* 0: no advice */

    /* The pool's own while the request lives there. */
    enum request_state state;
    bool cold;                /* no slot could serve when it came */
    bool solo;                /* retried after a shared crash: must be alone at its slot */
    uint32_t place;           /* of its assignment while it is out at a slot */
    uint32_t marks;           /* slots that died while they alone had it */
    enum priority effective;  /* the queue's: its own, promoted by ageing */
    uint32_t deadline_index;  /* the queue's: in the heap of deadlines; REQUEST_NOWHERE: in none */
    uint64_t began_ns;        /* current attempt sent to a slot */
    uint64_t run_deadline_ns; /* what its worker is told: the latest of all whose run this is */
    uint64_t breaker_era;
    struct request_evidence *evidence; /* how they died; NULL before the first mark; heap */

    /* The request queue's; what every request needs lies together. */
    struct request *next_by_id;
    struct list_node deadline_node; /* in the line of deadlines */
    struct ranked_node in_line;     /* among its tenant's and class's, by arrival */
    struct ranked_node in_age;      /* among those of its own and effective class, by arrival */
    uint64_t arrival;               /* rank: lower came first; kept over retries */
    uint64_t queued_ns;             /* when it was added; ageing counts from here */
    uint64_t debit_ns;              /* what its tenant was debited when it was taken */
    struct tenant *account;         /* NULL while it is not live */
    struct batch_group *group;      /* NULL where batches are off */
    struct ranked_node in_group;    /* among its batch key's and class's, by arrival */
    struct ranked_node in_haste;    /* among its batch key's that have a deadline, earliest first */

    /* Deduplication's. */
    uint64_t digest[2];
    uint64_t led_ns; /* since when it can be joined */
    struct request *next_by_digest;
    struct request *leader;     /* of a follower */
    struct list_node followers; /* of a leader, in order of arrival */
    struct list_node follower_node;
};
#define REQUEST_NO_SLOT UINT32_MAX
#define REQUEST_NOWHERE UINT32_MAX

struct request_texts {
    const char *request_id, *content_type, *operation, *tenant, *batch_key,
        *traceparent; /* NULL: "" */
    const struct pair *metadata;
    size_t metadata_count;
};
/* A request with its own copy of all texts; the rest is zero, no slot, no deadline. */
enum outcome request_create(struct request **out, const struct request_texts *texts);
/* Replaces the detail text with a formatted one; out of memory leaves it NULL. */
void request_explain(struct request *request, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void request_free(struct request *request); /* NULL is allowed */
void reply_free(struct reply *reply);       /* leaves it empty */
/* The same answer for another: shares the body, copies the rest. MEMORY_EXHAUSTED: *out is empty. */
enum outcome reply_copy(struct reply *out, const struct reply *from);

#endif
