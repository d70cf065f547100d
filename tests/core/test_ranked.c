/* ranked: order, ranks, equal keys, a tree that stays shallow, and a sorted array as a model. */
#include "core/base/ranked.h"
#include "tests/core/chance.h"
#include "tests/support/suite.h"

#include <string.h>

#define NODES 4096
#define STEPS 200000

static struct ranked set;
static struct ranked_node nodes[NODES];

static void empty_set(void) {
    set = (struct ranked){0};
    memset(nodes, 0, sizeof nodes);
}

static size_t depth_below(const struct ranked_node *node) {
    if (node == NULL) return 0;
    size_t left = depth_below(node->left), right = depth_below(node->right);
    return 1 + (left > right ? left : right);
}

START_TEST(an_empty_set_has_nobody) {
    empty_set();
    ck_assert_ptr_null(ranked_first(&set));
    ck_assert_ptr_null(ranked_last(&set));
    ck_assert_uint_eq(ranked_count(&set), 0);
}
END_TEST

START_TEST(members_stand_in_order_of_their_keys) {
    static const uint64_t keys[] = {50, 10, UINT64_MAX, 0, 30};
    static const size_t order[] = {3, 1, 4, 0, 2};
    empty_set();
    for (size_t i = 0; i < 5; i++) ranked_insert(&set, &nodes[i], keys[i]);
    const struct ranked_node *node = ranked_first(&set);
    for (size_t i = 0; i < 5; i++, node = ranked_next(node)) {
        ck_assert_ptr_eq(node, &nodes[order[i]]);
        ck_assert_uint_eq(ranked_rank(node), i);
    }
    ck_assert_ptr_null(node);
    ck_assert_ptr_eq(ranked_last(&set), &nodes[2]);
}
END_TEST

START_TEST(who_leaves_is_in_no_set_and_may_come_back) {
    empty_set();
    for (size_t i = 0; i < 3; i++) ranked_insert(&set, &nodes[i], i);
    ranked_remove(&set, &nodes[0]);
    ck_assert_uint_eq(nodes[0].rank, 0);
    ck_assert_ptr_eq(ranked_first(&set), &nodes[1]);
    ck_assert_uint_eq(ranked_rank(&nodes[2]), 1);
    ranked_insert(&set, &nodes[0], 9);
    ck_assert_ptr_eq(ranked_last(&set), &nodes[0]);
    for (size_t i = 0; i < 3; i++) ranked_remove(&set, &nodes[i]);
    ck_assert_ptr_null(set.root);
    ck_assert_ptr_null(ranked_first(&set));
}
END_TEST

START_TEST(of_equal_keys_the_later_comes_after) {
    empty_set();
    for (size_t i = 0; i < NODES; i++) ranked_insert(&set, &nodes[i], 7);
    for (size_t i = 0; i < NODES; i++) ck_assert_uint_eq(ranked_rank(&nodes[i]), i);
}
END_TEST

/* 4,096 random keys make a tree of about 28; sorted ones in a plain tree one of 4,096. */
START_TEST(neither_sorted_nor_equal_keys_make_it_deep) {
    for (uint64_t step = 0; step < 2; step++) {
        empty_set();
        for (size_t i = 0; i < NODES; i++) ranked_insert(&set, &nodes[i], i * step);
        ck_assert_uint_lt(depth_below(set.root), 64);
    }
}
END_TEST

/* --- against a sorted array ------------------------------------------------------------------------- */

#define FEW 300

static const struct ranked_node *model[FEW];
static size_t modelled;

static void model_insert(const struct ranked_node *node) {
    size_t at = modelled;
    while (at > 0 && model[at - 1]->key > node->key) at--;
    memmove(&model[at + 1], &model[at], (modelled - at) * sizeof model[0]);
    model[at] = node;
    modelled++;
}

static void model_remove(const struct ranked_node *node) {
    size_t at = 0;
    while (model[at] != node) at++;
    modelled--;
    memmove(&model[at], &model[at + 1], (modelled - at) * sizeof model[0]);
}

static void require_like_the_model(void) {
    require(ranked_count(&set) == modelled);
    const struct ranked_node *node = ranked_first(&set);
    for (size_t i = 0; i < modelled; i++, node = ranked_next(node)) {
        require(node == model[i]);
        require(ranked_rank(node) == i);
    }
    require(node == NULL);
    require(ranked_last(&set) == (modelled > 0 ? model[modelled - 1] : NULL));
}

START_TEST(random_operations_agree_with_a_sorted_array) {
    struct chance chance = chance_open();
    empty_set();
    modelled = 0;
    for (uint64_t i = 0; i < STEPS; i++) {
        struct ranked_node *node = &nodes[chance_below(&chance, FEW)];
        if (!ranked_is_member(node)) {
            ranked_insert(&set, node, chance_below(&chance, 200));
            model_insert(node);
        } else {
            model_remove(node);
            ranked_remove(&set, node);
        }
        require(ranked_count(&set) == modelled);
        require(ranked_first(&set) == (modelled > 0 ? model[0] : NULL));
        if (i % 50 == 0) require_like_the_model();
    }
}
END_TEST

SUITE("core/ranked", 60, an_empty_set_has_nobody, members_stand_in_order_of_their_keys,
      who_leaves_is_in_no_set_and_may_come_back, of_equal_keys_the_later_comes_after,
      neither_sorted_nor_equal_keys_make_it_deep, random_operations_agree_with_a_sorted_array)
