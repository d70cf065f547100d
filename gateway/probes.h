/* probes - /livez, /readyz, /startupz: what the snapshot says, and the calm between two changes.
 *          Both doors ask: HTTP for its probes, gRPC for its health service.
 * thread: the caller's; pure, time is passed in.
 * owns:   nothing.
 * fails:  never. */
#ifndef GATEWAY_PROBES_H
#define GATEWAY_PROBES_H

#include "core/snapshot.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROBE_REASONS      8
#define PROBE_STALLED_NS   UINT64_C(10000000000)
#define PROBE_CALM_NS      UINT64_C(1000000000)
#define PROBE_REASON_BYTES 128

struct verdict {
    bool good;
    size_t reasons_count; /* more pools than there is room for are not listed */
    char reasons[PROBE_REASONS][PROBE_REASON_BYTES];
};

/* The pool loop has settled within the last ten seconds, and no port is dead: "http" or "grpc", NULL. */
struct verdict probe_live(const struct snapshot *snapshot, uint64_t stalled_ns,
                          const char *dead_port, uint64_t now_ns);
/* Every pool has had its min slots once. */
struct verdict probe_started(const struct snapshot *snapshot);

/* The pool can take work, or is loading for the first time. */
bool probe_pool_serves(const struct pool_snapshot *pool);

/* What /readyz said last, and since when: it does not change twice within a second, except that a
 * drain is said at once. */
struct readiness {
    bool asked, good;
    uint64_t changed_ns;
};
struct verdict probe_ready(struct readiness *readiness, const struct snapshot *snapshot,
                           bool draining, uint64_t now_ns);

#endif
