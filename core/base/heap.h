/* heap - binary heap of pointers, smallest first; each element is told where it sits, so that it
 *         can be moved or removed in O(log n) from wherever it is.
 * thread: the owner's.
 * owns:   its array; the elements stay the caller's.
 * fails:  heap_reserve: MEMORY_EXHAUSTED. heap_insert never fails within the reserved room. */
#ifndef CORE_BASE_HEAP_H
#define CORE_BASE_HEAP_H

#include "core/base/outcome.h"

#include <stdbool.h>
#include <stddef.h>

#define HEAP_NOWHERE ((size_t)-1) /* the index of an element that is in no heap */

typedef bool heap_before_fn(const void *a, const void *b);
typedef void heap_placed_fn(void *element, size_t index);

struct heap {
    void **elements;
    size_t count, capacity;
    heap_before_fn *before;
    heap_placed_fn *placed;
};

void heap_init(struct heap *heap, heap_before_fn *before, heap_placed_fn *placed);
void heap_free(struct heap *heap);
/* Room for so many elements in all. */
enum outcome heap_reserve(struct heap *heap, size_t capacity);
void heap_insert(struct heap *heap, void *element);
void heap_changed(struct heap *heap,
                  size_t index); /* the element there has another place in order */
void heap_remove(struct heap *heap, size_t index); /* tells the element HEAP_NOWHERE */
void *heap_first(const struct heap *heap);         /* NULL when empty */

#endif
