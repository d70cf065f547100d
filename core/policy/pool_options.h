/* pool_options - what a pool is made of: the configuration's pools[] in the units of the core.
 * thread: constant once the gate has it; texts live as long as the gate. A reload brings others.
 * owns:   nothing: the one who filled it keeps the texts.
 * fails:  never. */
#ifndef CORE_POLICY_POOL_OPTIONS_H
#define CORE_POLICY_POOL_OPTIONS_H

#include "core/base/request.h"
#include "core/policy/circuit_breaker.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum isolation { ISOLATION_PROCESS, ISOLATION_THREAD };
enum scale_policy { SCALE_FIXED, SCALE_ADAPTIVE, SCALE_PREDICTIVE };
enum overload { OVERLOAD_SHED, OVERLOAD_CODEL, OVERLOAD_NONE };
/* Which of the slots with room gets the next request; see pick.h. */
enum pick_policy { PICK_LEAST_LOADED, PICK_MOST_RECENT, PICK_TWO_CHOICES };

/* A tenant gets so many parts of a pool's time where another gets one. */
#define TENANT_WEIGHT_MOST 1000
struct tenant_weight {
    const char *tenant;
    uint32_t weight; /* 1 to TENANT_WEIGHT_MOST */
};

struct worker_options {
    const char *plugin;         /* name of a plug-in, or NULL */
    const char *const *command; /* NULL-terminated argv, or NULL; exactly one of the two is set */
    const struct pair *args;    /* handed to the worker's load */
    size_t args_count;
    const char *const *env_pass; /* names copied from the gateway's environment */
    size_t env_pass_count;
    const struct pair *env_set;
    size_t env_set_count;
};

struct pool_options {
    const char *name, *capability;
    struct worker_options worker;
    enum isolation isolation;
    uint32_t slots_min, slots_max, inflight;
    uint32_t staged; /* requests handed ahead to a slot, revocable; 0: none */
    enum pick_policy pick;
    const char *cpus;      /* "any", "auto" or a list such as "0-3,8" */
    uint64_t memory_bytes; /* declared per slot */
    struct {
        uint32_t capacity, reserve; /* requests; reserve in requests, from the percentage */
        uint64_t bytes;
        uint64_t aging_ns; /* waited so long, a request is promoted one class; 0: never */
        uint64_t dedup_ns; /* 0: no deduplication */
        bool fair;
        const struct tenant_weight *weights; /* who is not named has 1 */
        size_t weights_count;
        enum overload overload;
        uint32_t batch_max; /* 1: no batches */
        uint64_t batch_delay_ns;
    } queue;
    struct {
        uint64_t load_ns, request_ns, max_ns, idle_ns, cancel_ns, kill_ns;
    } timeouts;
    bool required;
    struct {
        uint64_t interval_ns, timeout_ns;
        uint32_t misses;
        uint64_t deep_ns; /* how often an idle worker checks itself; 0: never */
    } health;
    struct breaker_options breaker;
    struct {
        uint64_t requests, memory_bytes; /* 0: never */
    } recycle;
    const char *chaos; /* faults to inject, as chaos_parse reads them; NULL or "": none */
    struct {
        enum scale_policy policy;
        uint64_t interval_ns;
    } scale;
    uint32_t retry_crashes;
    uint64_t max_reply_bytes; /* a reply above it breaks the protocol */
};

#endif
