/* finished - what became of the last requests, for whoever asks a while after.
 * thread: the owner's (the pool loop). Pure: time is passed in.
 * owns:   a ring of FINISHED_REQUESTS records, 1.4 MB in all, made and touched at once; a name that does not
 *         fit into its record has a block of its own.
 * fails:  finished_open: MEMORY_EXHAUSTED. A record whose names find no memory is found by its number. */
#ifndef CORE_POLICY_FINISHED_H
#define CORE_POLICY_FINISHED_H

#include "core/base/request.h"

#include <stdint.h>

#define FINISHED_REQUESTS 10000
#define FINISHED_KEPT_NS  UINT64_C(300000000000)
#define FINISHED_NAMES    56 /* bytes for both names with their ends */

struct finished_request {
    uint64_t arrived_ns, ended_ns, queue_ns, cold_ns, run_ns;
    const char *pool; /* its options' text */
    uint32_t attempts;
    uint8_t outcome, priority, source;
    bool spilled; /* the names are in a block */
    union {
        char text[FINISHED_NAMES]; /* request id, end, tenant, end */
        char *block;               /* the same; NULL: they are lost */
    } names;
};

struct finished;

enum outcome finished_open(struct finished **out);
void finished_free(struct finished *finished); /* NULL is allowed */
/* It has its outcome and its times. */
void finished_add(struct finished *finished, const char *pool, const struct request *request,
                  uint64_t now_ns);
/* The newest with this number or, where id is 0, with this name; NULL: there is none any more. */
const struct finished_request *finished_find(const struct finished *finished, uint64_t id,
                                             const char *request_id, uint64_t now_ns);
const char *finished_request_id(const struct finished_request *record); /* "" when it is lost */
const char *finished_tenant(const struct finished_request *record);

#endif
