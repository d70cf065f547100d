/* buried - requests that killed too many workers, as the outside sees and orders them about.
 * thread: as question.h, each of these is one.
 * owns:   the asker's, texts and room included.
 * fails:  as said at each. */
#ifndef CORE_BURIED_H
#define CORE_BURIED_H

#include "core/policy/quarantine.h"
#include "core/question.h"

struct buried {
    uint64_t number; /* names it */
    char request_id[QUESTION_NAME_BYTES], pool[64], tenant[QUESTION_NAME_BYTES];
    enum priority priority;
    uint64_t buried_ns, body_bytes, digest[2]; /* digest zero: the body was too large for one */
    bool body_kept, kicked;                    /* kicked: it runs again now */
    uint32_t attempts, marks_count;
    struct quarantine_mark marks[QUARANTINE_MARKS]; /* the last of them, oldest first */
};

/* By rising number; always OK. */
struct buried_list {
    struct question question;
    const char *pool, *for_tenant; /* NULL: of all */
    uint64_t after;                /* those with higher numbers */
    struct buried *items;
    size_t room;

    size_t count;
    bool more;
};

/* NO_SUCH_REQUEST. A kick also: ALREADY_EXISTS (it runs again already), PAYLOAD_TOO_LARGE (its body was not
 * kept), MEMORY_EXHAUSTED, and every refusal of gate_submit: it stays buried then. */
struct buried_order {
    struct question question;
    uint64_t number;
    const char *for_tenant; /* NULL: whosever it is */
    const char *request_id; /* of a kick: the fresh request's */
    const char *why;        /* who asks, for the event; may be NULL */
    uint64_t id;            /* the same as a number, by the gate */
};

#endif
