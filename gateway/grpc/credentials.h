/* credentials - what a call shows of who it is, put before the one decision that both doors have.
 * thread: that of the call's completion queue.
 * owns:   nothing; the grant is the call's, left when its reply goes out.
 * fails:  as access_decide.
 *
 * The name that a client calls us by (:authority) is not looked at: what the check of Host is for, a
 * page in a browser, cannot speak HTTP/2 in the clear or send gRPC's content type without being asked. */
#ifndef GATEWAY_GRPC_CREDENTIALS_H
#define GATEWAY_GRPC_CREDENTIALS_H

#include "core/base/outcome.h"

struct call;
enum outcome credentials_decide(struct call *call); /* fills call->grant */

#endif
