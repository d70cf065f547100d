/* exchange_record - tells the observer of an exchange that is over.
 * thread: the HTTP thread's.
 * owns:   nothing.
 * fails:  never. */
#ifndef GATEWAY_HTTP_EXCHANGE_RECORD_H
#define GATEWAY_HTTP_EXCHANGE_RECORD_H

#include "gateway/http/exchange.h"

/* Once for each exchange, while its connection still has its texts. */
void exchange_record_ended(const struct exchange *exchange);

#endif
