/* request_record - what is told of a request once it has ended, whichever door it came through.
 * thread: the request's own.
 * owns:   a course its two texts; a record nothing, it is put together for one call of observer_ended.
 * fails:  never. */
#ifndef GATEWAY_REQUEST_RECORD_H
#define GATEWAY_REQUEST_RECORD_H

#include "core/base/request.h"
#include "gateway/metrics.h"
#include "gateway/traceparent.h"

/* What its door notes while the request is open; zeroed at first. */
struct request_course {
    struct trace trace;
    enum priority priority; /* counts once there is a pool */
    enum outcome outcome;   /* of the pool's answer */
    unsigned status;        /* of the reply, HTTP's or gRPC's number */
    bool had_slot;          /* a worker had it: slot is the last one's number */
    uint32_t slot, attempts;
    uint64_t bytes_in, bytes_out; /* of the bodies, as far as they were read and replied */
    uint64_t queue_ns, cold_ns, run_ns;
    char pool[64], tenant[64]; /* "": none; a longer tenant is cut */
};

struct request_record {
    enum frontend frontend;
    enum outcome outcome; /* of all of it */
    bool probe;           /* comes by the clock, and nobody wants to read of it */
    const char *method;   /* GET; of gRPC the whole name, poolgate.v1.Gateway/Invoke */
    const char *route;    /* "/v1/pools/{pool}/invoke"; NULL: none was found, and of gRPC */
    const char *target;   /* as asked for; NULL: of gRPC */
    const char *request_id, *client; /* client: an address, "" when it is not known */
    uint64_t arrived_ns, ended_ns;
    const struct request_course *course;
};

/* Which pool and in whose name; NULL: nobody's. */
void request_course_towards(struct request_course *course, const char *pool, const char *tenant,
                            enum priority priority);
/* What the pool has to say about it. */
void request_course_answered(struct request_course *course, const struct request *request);

#endif
