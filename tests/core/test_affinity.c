/* affinity: which processor and node each slot gets, on machines made of numbers. */
#include "core/policy/affinity.h"
#include "tests/core/chance.h"
#include "tests/support/suite.h"

#include <string.h>

static struct machine machine;
static struct affinity affinity;

/* So many usable processors, dealt to the nodes in equal runs: 8 and 2 make 0-3 and 4-7. */
static void make_machine(uint32_t cpus, int nodes) {
    memset(&machine, 0, sizeof machine);
    for (uint32_t cpu = 0; cpu < CPUS_MOST; cpu++) {
        if (cpu < cpus) cpus_add(&machine.usable, cpu);
        machine.node_of[cpu] =
            (int16_t)(cpu < cpus && nodes > 0 ? (int)cpu * nodes / (int)cpus : NODE_UNKNOWN);
    }
}

static void want(const char *text) {
    ck_assert_int_eq(affinity_parse(&affinity, text), OK);
}

static void assert_placed(uint32_t slot, uint32_t slots, int cpu, int node) {
    struct placement placement = affinity_place(&affinity, &machine, slot, slots);
    ck_assert_msg(placement.cpu == cpu && placement.node == node,
                  "slot %u of %u: processor %d of node %d, not %d of %d", slot, slots,
                  placement.cpu, placement.node, cpu, node);
}

START_TEST(the_three_kinds_are_told_apart) {
    want("any");
    ck_assert_int_eq(affinity.kind, AFFINITY_ANY);
    want("auto");
    ck_assert_int_eq(affinity.kind, AFFINITY_AUTO);
    want("0-3,8");
    ck_assert_int_eq(affinity.kind, AFFINITY_LIST);
    ck_assert_uint_eq(cpus_count(&affinity.list), 5);
    ck_assert_int_eq(affinity_parse(&affinity, "anything"), INVALID_REQUEST);
    ck_assert_int_eq(affinity_parse(&affinity, ""), INVALID_REQUEST);
}
END_TEST

START_TEST(any_leaves_a_slot_where_it_likes) {
    make_machine(8, 2);
    want("any");
    assert_placed(0, 4, -1, -1);
    assert_placed(3, 4, -1, -1);
}
END_TEST

START_TEST(auto_gives_each_slot_a_processor_of_its_own) {
    make_machine(4, 1);
    want("auto");
    for (uint32_t slot = 0; slot < 4; slot++) assert_placed(slot, 4, (int)slot, -1);
    assert_placed(0, 1, 0, -1);
    assert_placed(0, 2, 0, -1);
    assert_placed(1, 2, 2, -1); /* not beside the first */
}
END_TEST

START_TEST(auto_goes_round_when_there_are_more_slots_than_processors) {
    make_machine(4, 1);
    want("auto");
    for (uint32_t slot = 0; slot < 8; slot++) assert_placed(slot, 8, (int)slot % 4, -1);
    assert_placed(4, 6, 0, -1); /* the last round is spread, too */
    assert_placed(5, 6, 2, -1);
}
END_TEST

START_TEST(auto_spreads_over_the_nodes_and_names_each_slots_own) {
    make_machine(8, 2);
    want("auto");
    assert_placed(0, 2, 0, 0);
    assert_placed(1, 2, 4, 1);
    for (uint32_t slot = 0; slot < 8; slot++) assert_placed(slot, 8, (int)slot, (int)slot / 4);
    assert_placed(8, 10, 0, 0);
    assert_placed(9, 10, 4, 1);
}
END_TEST

START_TEST(auto_goes_node_by_node_where_processors_alternate) {
    make_machine(4, 1);
    for (int cpu = 0; cpu < 4; cpu++) machine.node_of[cpu] = (int16_t)(cpu % 2);
    want("auto");
    assert_placed(0, 2, 0, 0);
    assert_placed(1, 2, 1, 1);
    assert_placed(1, 4, 2, 0);
    assert_placed(2, 4, 1, 1);
}
END_TEST

START_TEST(auto_uses_only_what_this_process_may_use) {
    make_machine(8, 2);
    ck_assert_int_eq(cpus_parse(&machine.usable, "2,5,7"), OK);
    want("auto");
    assert_placed(0, 3, 2, 0);
    assert_placed(1, 3, 5, 1);
    assert_placed(2, 3, 7, 1);
    ck_assert_int_eq(cpus_parse(&machine.usable, "5,7"), OK); /* one node is left */
    assert_placed(1, 2, 7, -1);
}
END_TEST

START_TEST(auto_without_a_known_processor_is_any) {
    make_machine(0, 0);
    want("auto");
    assert_placed(0, 1, -1, -1);
}
END_TEST

START_TEST(a_list_is_dealt_one_by_one) {
    make_machine(8, 2);
    want("1,6,2");
    assert_placed(0, 5, 1, 0);
    assert_placed(1, 5, 2, 0);
    assert_placed(2, 5, 6, 1);
    assert_placed(3, 5, 1, 0);
}
END_TEST

START_TEST(of_a_list_only_the_usable_are_dealt) {
    make_machine(4, 1);
    want("2-9");
    assert_placed(0, 4, 2, -1);
    assert_placed(1, 4, 3, -1);
    assert_placed(2, 4, 2, -1);
}
END_TEST

START_TEST(a_list_without_a_usable_processor_says_so_by_naming_one) {
    make_machine(4, 1);
    want("8-9");
    assert_placed(0, 4, 8, -1);
    assert_placed(1, 4, 9, -1);
}
END_TEST

START_TEST(processors_of_no_known_node_have_none) {
    make_machine(4, 0);
    want("auto");
    assert_placed(3, 4, 3, -1);
    machine.node_of[0] = 0;
    machine.node_of[1] = 1;
    assert_placed(0, 4, 2, -1);
    assert_placed(2, 4, 0, 0);
}
END_TEST

/* However many slots: no processor has two more than another, and no node two more than its share. */
static void check_spread(uint32_t slots, uint32_t cpus, int nodes) {
    uint32_t on_cpu[64] = {0}, on_node[8] = {0};
    for (uint32_t slot = 0; slot < slots; slot++) {
        struct placement placement = affinity_place(&affinity, &machine, slot, slots);
        require(placement.cpu >= 0 && cpus_has(&machine.usable, (uint32_t)placement.cpu));
        on_cpu[placement.cpu]++;
        on_node[machine.node_of[placement.cpu]]++;
        require(placement.node == (nodes > 1 ? machine.node_of[placement.cpu] : -1));
    }
    for (uint32_t cpu = 0; cpu < cpus; cpu++)
        require(on_cpu[cpu] >= slots / cpus && on_cpu[cpu] <= (slots + cpus - 1) / cpus);
    for (int node = 0; node < nodes; node++) {
        uint32_t own = 0;
        for (uint32_t cpu = 0; cpu < cpus; cpu++) own += machine.node_of[cpu] == node;
        require(on_node[node] * cpus <= (slots + cpus) * own + cpus);
        require((on_node[node] + 1) * cpus >= slots * own);
    }
}

START_TEST(auto_is_even_on_every_machine) {
    struct chance chance = chance_open();
    want("auto");
    for (int round = 0; round < 200; round++) {
        int nodes = 1 + (int)chance_below(&chance, 4);
        uint32_t cpus = (uint32_t)nodes + chance_below(&chance, 60);
        make_machine(cpus, nodes);
        check_spread(1 + chance_below(&chance, 20), cpus, nodes);
    }
}
END_TEST

SUITE("core/affinity", 30, the_three_kinds_are_told_apart, any_leaves_a_slot_where_it_likes,
      auto_gives_each_slot_a_processor_of_its_own,
      auto_goes_round_when_there_are_more_slots_than_processors,
      auto_spreads_over_the_nodes_and_names_each_slots_own,
      auto_goes_node_by_node_where_processors_alternate, auto_uses_only_what_this_process_may_use,
      auto_without_a_known_processor_is_any, a_list_is_dealt_one_by_one,
      of_a_list_only_the_usable_are_dealt, a_list_without_a_usable_processor_says_so_by_naming_one,
      processors_of_no_known_node_have_none, auto_is_even_on_every_machine)
