/* pool_options - what a pool is made of: the configuration's pools[] in the units of the core.
 * thread: constant once the gate is open; texts live as long as the gate.
 * owns:   nothing: the one who filled it keeps the texts.
 * fails:  never. */
#ifndef CORE_POLICY_POOL_OPTIONS_H
#define CORE_POLICY_POOL_OPTIONS_H

#include "core/base/request.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum isolation { ISOLATION_PROCESS, ISOLATION_THREAD };
enum scale_policy { SCALE_FIXED, SCALE_ADAPTIVE, SCALE_PREDICTIVE };

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
    uint64_t memory_bytes; /* declared per slot */
    struct {
        uint32_t capacity, reserve; /* requests; reserve in requests, from the percentage */
        uint64_t bytes;
    } queue;
    struct {
        uint64_t load_ns, request_ns, max_ns, idle_ns, cancel_ns, kill_ns;
    } timeouts;
    bool required;
    struct {
        uint64_t interval_ns, timeout_ns;
        uint32_t misses;
    } health;
    struct {
        enum scale_policy policy;
        uint64_t interval_ns;
    } scale;
    uint32_t retry_crashes;
    uint64_t max_reply_bytes; /* a reply above it breaks the protocol */
};

#endif
