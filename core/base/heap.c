#include "core/base/heap.h"

#include <assert.h>
#include <stdlib.h>

void heap_init(struct heap *heap, heap_before_fn *before, heap_placed_fn *placed) {
    *heap = (struct heap){.before = before, .placed = placed};
}

void heap_free(struct heap *heap) {
    free(heap->elements);
    heap->elements = NULL;
    heap->count = heap->capacity = 0;
}

enum outcome heap_reserve(struct heap *heap, size_t capacity) {
    if (capacity <= heap->capacity) return OK;
    void **elements = realloc(heap->elements, capacity * sizeof *elements);
    if (elements == NULL) return MEMORY_EXHAUSTED;
    heap->elements = elements;
    heap->capacity = capacity;
    return OK;
}

static void put(struct heap *heap, size_t index, void *element) {
    heap->elements[index] = element;
    heap->placed(element, index);
}

static void rise(struct heap *heap, size_t index) {
    void *element = heap->elements[index];
    while (index > 0) {
        size_t parent = (index - 1) / 2;
        if (!heap->before(element, heap->elements[parent])) break;
        put(heap, index, heap->elements[parent]);
        index = parent;
    }
    put(heap, index, element);
}

static void sink(struct heap *heap, size_t index) {
    void *element = heap->elements[index];
    for (;;) {
        size_t child = 2 * index + 1;
        if (child >= heap->count) break;
        if (child + 1 < heap->count &&
            heap->before(heap->elements[child + 1], heap->elements[child]))
            child++;
        if (!heap->before(heap->elements[child], element)) break;
        put(heap, index, heap->elements[child]);
        index = child;
    }
    put(heap, index, element);
}

void heap_insert(struct heap *heap, void *element) {
    assert(heap->count < heap->capacity);
    heap->elements[heap->count++] = element;
    rise(heap, heap->count - 1);
}

void heap_changed(struct heap *heap, size_t index) {
    assert(index < heap->count);
    const void *element = heap->elements[index];
    sink(heap, index);
    if (heap->elements[index] == element) rise(heap, index);
}

void heap_remove(struct heap *heap, size_t index) {
    assert(index < heap->count);
    void *removed = heap->elements[index];
    void *last = heap->elements[--heap->count];
    if (last != removed) {
        heap->elements[index] = last;
        heap_changed(heap, index);
    }
    heap->placed(removed, HEAP_NOWHERE);
}

void *heap_first(const struct heap *heap) {
    return heap->count > 0 ? heap->elements[0] : NULL;
}
