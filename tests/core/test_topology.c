/* topology: the machine as the kernel shows it, and where the slots of a pool go on it. */
#include "core/transport/topology.h"
#include "tests/support/suite.h"

#include <sched.h>
#include <sys/stat.h>

static struct machine machine;

static void write_file(const char *folder, const char *name, const char *text) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
}

static void make_folder(const char *folder, const char *name) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    ck_assert_int_eq(mkdir(path, 0700), 0);
}

START_TEST(the_nodes_are_read_from_their_folder) {
    char folder[] = "/tmp/poolgate-nodes-XXXXXX", command[64];
    ck_assert_ptr_nonnull(mkdtemp(folder));
    make_folder(folder, "node0");
    make_folder(folder, "node2");
    make_folder(folder, "node3");
    make_folder(folder, "node5");
    write_file(folder, "has_memory", "0,2-3,9\n");
    write_file(folder, "node0/cpulist", "0-1,4\n");
    write_file(folder, "node2/cpulist", "2-3\n");
    write_file(folder, "node3/cpulist", "\n");  /* memory alone */
    write_file(folder, "node5/cpulist", "5\n"); /* no memory */
    topology_read(&machine, folder);
    static const int expected[] = {0, 0, 2, 2, 0, -1, -1};
    for (int cpu = 0; cpu < 7; cpu++) ck_assert_int_eq(machine.node_of[cpu], expected[cpu]);
    snprintf(command, sizeof command, "rm -r %s", folder);
    ck_assert_int_eq(system(command), 0);
    topology_read(&machine, folder); /* not there */
    for (int cpu = 0; cpu < 7; cpu++) ck_assert_int_eq(machine.node_of[cpu], -1);
}
END_TEST

START_TEST(this_process_may_use_what_libc_says) {
    cpu_set_t set;
    ck_assert_int_eq(sched_getaffinity(0, sizeof set, &set), 0);
    const struct machine *real = topology_machine();
    for (uint32_t cpu = 0; cpu < CPU_SETSIZE; cpu++)
        ck_assert_int_eq(cpus_has(&real->usable, cpu), CPU_ISSET(cpu, &set) != 0);
    ck_assert_ptr_eq(topology_machine(), real);
}
END_TEST

START_TEST(a_pools_text_decides_where_its_slots_go) {
    struct placement placement;
    struct pool_options pool = {.slots_max = 2};
    ck_assert_int_eq(topology_place(&placement, &pool, 0), OK);
    ck_assert_int_eq(placement.cpu, -1);
    pool.cpus = "any";
    ck_assert_int_eq(topology_place(&placement, &pool, 0), OK);
    ck_assert_int_eq(placement.cpu, -1);
    pool.cpus = "auto";
    ck_assert_int_eq(topology_place(&placement, &pool, 0), OK);
    ck_assert_int_eq(placement.cpu, (int)cpus_at(&topology_machine()->usable, 0));
    pool.cpus = "4095";
    ck_assert_int_eq(topology_place(&placement, &pool, 1), OK);
    ck_assert_int_eq(placement.cpu, 4095);
    pool.cpus = "some";
    ck_assert_int_eq(topology_place(&placement, &pool, 1), INVALID_REQUEST);
    ck_assert_int_eq(placement.cpu, -1);
}
END_TEST

SUITE("core/topology", 30, the_nodes_are_read_from_their_folder,
      this_process_may_use_what_libc_says, a_pools_text_decides_where_its_slots_go)
