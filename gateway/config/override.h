/* override - one dotted key and its value, from the environment or from --set.
 * thread: the owner's.
 * owns:   nothing.
 * fails:  MEMORY_EXHAUSTED; mistakes are reported. */
#ifndef GATEWAY_CONFIG_OVERRIDE_H
#define GATEWAY_CONFIG_OVERRIDE_H

#include "gateway/config/draft.h"

#define OVERRIDE_POOLS "pools."

/* "http.listen", "pools.ocr.slots.max", "pools.ocr.worker.args.language", "pools.ocr.slots". */
enum outcome override_apply(struct draft *draft, const struct origin *origin, const char *path,
                            const char *value);
/* "KEY=VALUE" of each --set, in order. */
enum outcome override_apply_settings(struct draft *draft, const char *const *settings);

#endif
