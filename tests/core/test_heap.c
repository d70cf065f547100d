/* heap: the smallest first, and every element always knows where it sits. */
#include "core/base/heap.h"
#include "tests/core/chance.h"
#include "tests/support/suite.h"

#define ROOM  200
#define STEPS 50000

struct item {
    uint32_t key;
    size_t index;
};

static bool before(const void *a, const void *b) {
    return ((const struct item *)a)->key < ((const struct item *)b)->key;
}

static void placed(void *element, size_t index) {
    ((struct item *)element)->index = index;
}

static struct heap make_heap(struct item *items, size_t count) {
    struct heap heap;
    heap_init(&heap, before, placed);
    ck_assert_int_eq(heap_reserve(&heap, count), OK);
    for (size_t i = 0; i < count; i++) items[i].index = HEAP_NOWHERE;
    return heap;
}

static void assert_ordered(const struct heap *heap) {
    for (size_t i = 0; i < heap->count; i++) {
        require(((struct item *)heap->elements[i])->index == i);
        require(i == 0 || !before(heap->elements[i], heap->elements[(i - 1) / 2]));
    }
}

START_TEST(an_empty_heap_has_no_first) {
    struct heap heap = make_heap(NULL, 0);
    ck_assert_ptr_null(heap_first(&heap));
    ck_assert_uint_eq(heap.count, 0);
    heap_free(&heap);
}
END_TEST

START_TEST(elements_leave_smallest_first) {
    struct item items[ROOM];
    struct heap heap = make_heap(items, ROOM);
    for (uint32_t i = 0; i < ROOM; i++) {
        items[i].key = i * 37 % ROOM; /* 37 and 200 share no factor: every key once */
        heap_insert(&heap, &items[i]);
    }
    for (uint32_t i = 0; i < ROOM; i++) {
        struct item *first = heap_first(&heap);
        ck_assert_uint_eq(first->key, i);
        heap_remove(&heap, 0);
        ck_assert_uint_eq(first->index, HEAP_NOWHERE);
        assert_ordered(&heap);
    }
    ck_assert_ptr_null(heap_first(&heap));
    heap_free(&heap);
}
END_TEST

START_TEST(equal_elements_are_all_kept) {
    struct item items[ROOM] = {0};
    struct heap heap = make_heap(items, ROOM);
    for (size_t i = 0; i < ROOM; i++) heap_insert(&heap, &items[i]);
    for (size_t i = ROOM; i > 0; i--) {
        ck_assert_uint_eq(heap.count, i);
        heap_remove(&heap, heap.count / 2);
    }
    for (size_t i = 0; i < ROOM; i++) ck_assert_uint_eq(items[i].index, HEAP_NOWHERE);
    heap_free(&heap);
}
END_TEST

START_TEST(an_element_is_removed_from_wherever_it_is) {
    for (size_t gone = 0; gone < 31; gone++) {
        struct item items[31];
        struct heap heap = make_heap(items, 31);
        for (uint32_t i = 0; i < 31; i++) {
            items[i].key = i * 7 % 31;
            heap_insert(&heap, &items[i]);
        }
        heap_remove(&heap, items[gone].index);
        ck_assert_uint_eq(items[gone].index, HEAP_NOWHERE);
        ck_assert_uint_eq(heap.count, 30);
        assert_ordered(&heap);
        heap_free(&heap);
    }
}
END_TEST

START_TEST(a_removed_leaf_of_another_branch_may_have_to_rise) {
    /* The last element, 3, takes the place of 101 below 100, which it must pass. */
    static const uint32_t keys[] = {1, 100, 2, 101, 102, 4, 3};
    struct item items[7];
    struct heap heap = make_heap(items, 7);
    for (size_t i = 0; i < 7; i++) {
        items[i].key = keys[i];
        heap_insert(&heap, &items[i]);
        ck_assert_uint_eq(items[i].index, i);
    }
    heap_remove(&heap, 3);
    ck_assert_uint_eq(items[6].index, 1);
    ck_assert_uint_eq(items[1].index, 3);
    assert_ordered(&heap);
    heap_free(&heap);
}
END_TEST

START_TEST(reserving_less_keeps_what_is_there) {
    struct item items[2] = {{.key = 2}, {.key = 1}};
    struct heap heap = make_heap(items, 2);
    heap_insert(&heap, &items[0]);
    heap_insert(&heap, &items[1]);
    ck_assert_int_eq(heap_reserve(&heap, 1), OK);
    ck_assert_uint_ge(heap.capacity, 2);
    ck_assert_int_eq(heap_reserve(&heap, 1000), OK);
    ck_assert_ptr_eq(heap_first(&heap), &items[1]);
    assert_ordered(&heap);
    heap_free(&heap);
}
END_TEST

START_TEST(random_operations_agree_with_a_search) {
    struct chance chance = chance_open();
    struct item items[ROOM];
    struct heap heap = make_heap(items, ROOM);
    for (int step = 0; step < STEPS; step++) {
        struct item *item = &items[chance_below(&chance, ROOM)];
        if (item->index == HEAP_NOWHERE) {
            item->key = chance_below(&chance, 50);
            heap_insert(&heap, item);
        } else {
            heap_remove(&heap, item->index);
        }
        size_t count = 0;
        uint32_t smallest = UINT32_MAX;
        for (size_t i = 0; i < ROOM; i++) {
            if (items[i].index == HEAP_NOWHERE) continue;
            count++;
            if (items[i].key < smallest) smallest = items[i].key;
            require(heap.elements[items[i].index] == &items[i]);
        }
        require(heap.count == count);
        require(count == 0 || ((struct item *)heap_first(&heap))->key == smallest);
    }
    heap_free(&heap);
}
END_TEST

SUITE("core/heap", 60, an_empty_heap_has_no_first, elements_leave_smallest_first,
      equal_elements_are_all_kept, an_element_is_removed_from_wherever_it_is,
      a_removed_leaf_of_another_branch_may_have_to_rise, reserving_less_keeps_what_is_there,
      random_operations_agree_with_a_search)
