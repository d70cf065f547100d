/* outbox - frames on their way into a socket: written as far as it takes them, the rest when it can.
 * thread: the pool loop.
 * owns:   each frame's head and a reference to its body until it is written or the outbox is emptied.
 * fails:  outbox_add: MEMORY_EXHAUSTED (nothing taken but head, which is freed).
 *         outbox_flush: false when the socket is of no use any more. */
#ifndef CORE_TRANSPORT_OUTBOX_H
#define CORE_TRANSPORT_OUTBOX_H

#include "core/base/body.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct outbox_frame;

struct outbox {
    struct outbox_frame *first, **last;
};

enum outbox_payload { OUTBOX_STREAM, OUTBOX_MEMFD };

void outbox_init(struct outbox *outbox);
void outbox_clear(struct outbox *outbox);
bool outbox_empty(const struct outbox *outbox);
/* head: header and envelope, malloc'd. body: NULL, or streamed behind the head, or passed as memfd. */
enum outcome outbox_add(struct outbox *outbox, uint8_t *head, size_t head_bytes, struct body *body,
                        enum outbox_payload how);
/* Writes at most about 64 KiB, so that one large frame does not hold up the loop. */
bool outbox_flush(struct outbox *outbox, int socket);

#endif
