/* rules - what has to hold between keys, and what this version does not do yet.
 * thread: the owner's.
 * owns:   nothing.
 * fails:  never; mistakes are reported. A key whose own value was a mistake is left alone. */
#ifndef GATEWAY_CONFIG_RULES_H
#define GATEWAY_CONFIG_RULES_H

#include "gateway/config/draft.h"

void rules_check(struct draft *draft, bool allow_chaos);
/* Fills the members that follow from others. */
void rules_derive(struct draft *draft);

#endif
