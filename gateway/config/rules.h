/* rules - what has to hold between keys, and what this version does not do yet.
 * thread: the owner's.
 * owns:   nothing.
 * fails:  mistakes are reported; a key whose own value was a mistake is left alone. rules_derive:
 *         MEMORY_EXHAUSTED. */
#ifndef GATEWAY_CONFIG_RULES_H
#define GATEWAY_CONFIG_RULES_H

#include "gateway/config/draft.h"

void rules_check(struct draft *draft, bool allow_chaos);
void rules_check_files(struct draft *draft); /* that the files that keys name can be used */
/* Fills the members that follow from others. */
enum outcome rules_derive(struct draft *draft);

#endif
