/* body - the bytes of a request or a reply: memory while small, a sealed memfd when large.
 * thread: append, seal by the one who builds it; after seal read-only and ref/unref from any thread.
 * owns:   a reference each holder; the last unref frees memory, mapping and descriptor, then calls
 *         `released` (where set), which gives back what was charged for the bytes.
 * fails:  MEMORY_EXHAUSTED; then the body is as it was. */
#ifndef CORE_BASE_BODY_H
#define CORE_BASE_BODY_H

#include "core/base/outcome.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BODY_MEMFD_BYTES ((size_t)64 * 1024) /* from this size on a body is a memfd */

struct body;
typedef void body_released_fn(void *owner, size_t bytes);

struct body {
    _Atomic uint32_t refs;
    int memfd; /* -1 while the bytes are in memory */
    uint8_t
        *data; /* in the body's own block or in another; or the mapping of memfd, once asked for */
    size_t bytes;    /* length of what was appended */
    size_t capacity; /* of the memory at data; unused for a memfd */
    body_released_fn *released;
    void *released_owner;
    uint8_t own[]; /* room for as many bytes as were expected */
};

/* expected_bytes: the length if it is known (0 if not); decides memory or memfd at once. */
enum outcome body_create(struct body **out, size_t expected_bytes);
/* A sealed body of a received memfd; takes the descriptor on OK. Refuses with INVALID_REQUEST what is
 * not sealed against shrinking and writing or is shorter than bytes. */
enum outcome body_from_memfd(struct body **out, int memfd, size_t bytes);
/* A sealed body of malloc'd bytes; takes them on OK. */
enum outcome body_from_heap(struct body **out, uint8_t *data, size_t bytes);
enum outcome body_append(struct body *body, const void *data, size_t bytes);
/* No more bytes: a memfd is sealed against every change. Before a body leaves its builder's thread. */
enum outcome body_seal(struct body *body);
/* The bytes, mapped on first use; NULL when empty or when mapping fails. Call on one thread first. */
const uint8_t *body_data(struct body *body);
struct body *body_ref(struct body *body);
void body_unref(struct body *body); /* NULL is allowed */

#endif
