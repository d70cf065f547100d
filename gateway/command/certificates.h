/* certificates - the TLS of both front ends: read at the start, on SIGHUP and when a file changed.
 * thread: main; what certificates_of gives is used by the door's loop as its own header says.
 * owns:   each front end's struct tls, until certificates_close (after the front ends' end).
 * fails:  certificates_open: INVALID_REQUEST with a line on stderr (there may be no log yet), MEMORY_EXHAUSTED. Later a file that
 *         cannot be used is in the log and in the metrics, and the certificate stays what it was. */
#ifndef GATEWAY_COMMAND_CERTIFICATES_H
#define GATEWAY_COMMAND_CERTIFICATES_H

#include "gateway/config/config.h"
#include "gateway/edge/tls.h"
#include "gateway/metrics.h"

#define CERTIFICATES_LOOK_NS UINT64_C(500000000)

struct certificates;
enum outcome certificates_open(struct certificates **out, const struct config *config,
                               struct metrics *metrics);
/* The privileges are dropped and the log is open: what was read is told, to the metrics too. */
void certificates_begin(const struct certificates *certificates);
struct tls *certificates_of(const struct certificates *certificates, enum frontend frontend);
/* When certificates_tend has something to do; CLOCK_NEVER: there is no TLS. */
uint64_t certificates_due_ns(const struct certificates *certificates);
/* hung_up: somebody wants them to be read again, changed or not. */
void certificates_tend(struct certificates *certificates, uint64_t now_ns, bool hung_up);
void certificates_close(struct certificates *certificates); /* NULL is allowed */

#endif
