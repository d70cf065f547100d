/* environment - POOLGATE_POOLS_OCR_SLOTS_MAX=3 is pools.ocr.slots.max: 3.
 * thread: the owner's.
 * owns:   nothing; what it keeps is copied into the draft's arena.
 * fails:  MEMORY_EXHAUSTED; mistakes are reported. A variable that names no key is a warning only:
 *         orchestrators put their own beside ours. */
#ifndef GATEWAY_CONFIG_ENVIRONMENT_H
#define GATEWAY_CONFIG_ENVIRONMENT_H

#include "gateway/config/draft.h"

enum outcome environment_apply(struct draft *draft, const char *const *environment);

#endif
