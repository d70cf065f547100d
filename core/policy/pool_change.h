/* pool_change - what it takes to make a pool that runs as its new options say.
 * thread: any; pure.
 * owns:   nothing.
 * fails:  never. */
#ifndef CORE_POLICY_POOL_CHANGE_H
#define CORE_POLICY_POOL_CHANGE_H

#include "core/policy/pool_options.h"

enum pool_change {
    POOL_SAME,
    POOL_TUNED,   /* numbers that the loop and the gate read each time: no worker is touched */
    POOL_REPLACED /* another pool takes its name: workers would differ, or its tables are too small */
};

/* Texts and lists are compared by what they say. built: as its slots and tables were made. */
enum pool_change pool_change_of(const struct pool_options *built, const struct pool_options *now,
                                const struct pool_options *wanted);

#endif
