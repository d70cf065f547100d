/* tls_rules - what has to hold between the keys of TLS, and in the files that they name.
 * thread: the owner's.
 * owns:   nothing.
 * fails:  mistakes are reported. */
#ifndef GATEWAY_CONFIG_TLS_RULES_H
#define GATEWAY_CONFIG_TLS_RULES_H

#include "gateway/config/draft.h"

void tls_rules_check(const struct draft *draft);
/* Reads them as the gateway would. */
void tls_rules_check_files(const struct draft *draft);

#endif
