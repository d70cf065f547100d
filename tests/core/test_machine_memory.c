/* machine_memory: what made-up machines say, those that lie too, and what this one says. */
#include "core/transport/machine_memory.h"
#include "tests/core/chance.h"
#include "tests/support/suite.h"

#include <ftw.h>
#include <limits.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MIB       (UINT64_C(1) << 20)
#define UNLIMITED "9223372036854771712\n"
#define MEMINFO                                                                                    \
    "MemTotal:       4194304 kB\nMemFree:  9 kB\nMemAvailable:    3145728 kB\nCached: 7 kB\n"
#define MACHINE_LIMIT (4096 * MIB)
#define MACHINE_USED  (1024 * MIB)
#define MOUNT_2       "31 23 0:28 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
#define MOUNT_1       "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
#define NOISE                                                                                      \
    "23 1 8:1 / / rw,relatime master:1 shared:7 - ext4 /dev/root rw\n"                             \
    "29 23 0:26 / /proc rw - proc proc rw\n36 31 0:33 / /sys/fs/cgroup/cpu rw - cgroup c rw,cpu\n"

static char root[64];

static void put(const char *path, const char *text, size_t bytes) {
    char full[PATH_MAX];
    snprintf(full, sizeof full, "%s%s", root, path);
    for (char *at = full + strlen(root) + 1; (at = strchr(at, '/')) != NULL; at++) {
        *at = '\0';
        mkdir(full, 0700);
        *at = '/';
    }
    FILE *file = fopen(full, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(text, 1, bytes, file), bytes);
    ck_assert_int_eq(fclose(file), 0);
}

static void put_text(const char *path, const char *text) {
    put(path, text, strlen(text));
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *ftw) {
    (void)status, (void)type, (void)ftw;
    return remove(path);
}

static void open_machine(const char *cgroup, const char *mounts) {
    char text[2048];
    snprintf(root, sizeof root, "/tmp/poolgate-memory-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(root));
    put_text("/proc/meminfo", MEMINFO);
    put_text("/proc/self/cgroup", cgroup);
    snprintf(text, sizeof text, "%s%s", NOISE, mounts);
    put_text("/proc/self/mountinfo", text);
}

static void close_machine(void) {
    nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* Megabytes; limit as the file has it. */
static void put_group_2(const char *folder, const char *limit, uint64_t used, uint64_t inactive) {
    char path[PATH_MAX], text[128];
    snprintf(path, sizeof path, "%s/memory.max", folder);
    put_text(path, limit);
    snprintf(path, sizeof path, "%s/memory.current", folder);
    snprintf(text, sizeof text, "%llu\n", (unsigned long long)(used * MIB));
    put_text(path, text);
    snprintf(path, sizeof path, "%s/memory.stat", folder);
    snprintf(text, sizeof text, "anon 5\nactive_file 77\ninactive_file %llu\nslab 3\n",
             (unsigned long long)(inactive * MIB));
    put_text(path, text);
}

static void put_group_1(const char *folder, const char *limit, uint64_t above, uint64_t used,
                        uint64_t inactive) {
    char path[PATH_MAX], text[256];
    snprintf(path, sizeof path, "%s/memory.limit_in_bytes", folder);
    put_text(path, limit);
    snprintf(path, sizeof path, "%s/memory.usage_in_bytes", folder);
    snprintf(text, sizeof text, "%llu\n", (unsigned long long)(used * MIB));
    put_text(path, text);
    snprintf(path, sizeof path, "%s/memory.stat", folder);
    snprintf(text, sizeof text,
             "inactive_file 1\nhierarchical_memory_limit %llu\ntotal_inactive_file %llu\n",
             (unsigned long long)(above * MIB), (unsigned long long)(inactive * MIB));
    put_text(path, text);
}

static struct machine_memory assert_reads(uint64_t limit_bytes, uint64_t used_bytes) {
    struct machine_memory memory;
    machine_memory_read(&memory, root);
    ck_assert_uint_eq(memory.limit_bytes, limit_bytes);
    ck_assert_uint_eq(memory.used_bytes, used_bytes);
    return memory;
}

/* --- version 2 --------------------------------------------------------------------------------- */

START_TEST(without_a_cgroup_it_is_the_machines_memory) {
    open_machine("", "");
    struct machine_memory memory = assert_reads(MACHINE_LIMIT, MACHINE_USED);
    ck_assert(memory.stall_percent < 0);
    close_machine();
}
END_TEST

START_TEST(a_cgroups_limit_counts_without_the_files_that_nobody_reads) {
    open_machine("0::/app\n", MOUNT_2);
    put_group_2("/sys/fs/cgroup/app", "536870912\n", 300, 120);
    assert_reads(512 * MIB, 180 * MIB);
    close_machine();
}
END_TEST

START_TEST(the_smallest_limit_on_the_way_up_counts_with_its_own_use) {
    open_machine("0::/slice/pod/app\n", MOUNT_2);
    put_group_2("/sys/fs/cgroup/slice/pod/app", "max\n", 100, 0);
    put_group_2("/sys/fs/cgroup/slice/pod", "1073741824\n", 700, 50);
    put_group_2("/sys/fs/cgroup/slice", "2147483648\n", 1500, 0);
    assert_reads(1024 * MIB, 650 * MIB);
    put_group_2("/sys/fs/cgroup/slice", "1073741824\n", 900, 0); /* as small, and fuller */
    assert_reads(1024 * MIB, 900 * MIB);
    put_group_2("/sys/fs/cgroup/slice", "1000000\n", 0, 0);
    assert_reads(1000000, 0);
    close_machine();
}
END_TEST

START_TEST(a_limit_above_the_machines_memory_does_not_count) {
    open_machine("0::/app\n", MOUNT_2);
    put_group_2("/sys/fs/cgroup/app", "8589934592\n", 300, 0);
    assert_reads(MACHINE_LIMIT, MACHINE_USED);
    put_group_2("/sys/fs/cgroup/app", "max\n", 300, 0);
    assert_reads(MACHINE_LIMIT, MACHINE_USED);
    put_group_2("/sys/fs/cgroup/app", "0\n", 300, 0);
    assert_reads(MACHINE_LIMIT, MACHINE_USED);
    close_machine();
}
END_TEST

START_TEST(in_a_container_the_mount_itself_is_the_cgroup) {
    open_machine("0::/\n", MOUNT_2);
    put_group_2("/sys/fs/cgroup", "104857600\n", 30, 10);
    assert_reads(100 * MIB, 20 * MIB);
    put_text("/proc/self/cgroup", "0::/../other/app\n"); /* outside of the namespace */
    put_group_2("/sys/fs/other/app", "1048576\n", 0, 0);
    assert_reads(100 * MIB, 20 * MIB);
    put_text("/proc/self/cgroup", "0::/gone/app (deleted)\n");
    assert_reads(100 * MIB, 20 * MIB);
    close_machine();
}
END_TEST

START_TEST(a_mount_may_have_any_name_and_stand_beside_others) {
    open_machine("0::/app\n",
                 "40 23 0:28 /elsewhere /first rw - cgroup2 none rw\n"
                 "41 23 0:28 / /my\\040groups\\134x rw shared:1 master:2 - cgroup2 none rw\n");
    put_group_2("/first", "1048576\n", 0, 0);
    put_group_2("/my groups\\x/app", "2097152\n", 1, 0);
    assert_reads(2 * MIB, 1 * MIB);
    close_machine();
    open_machine("0::/app\n", "40 23 0:28 /a /first rw - cgroup2 none rw\n"
                              "41 23 0:28 /b /second rw - cgroup2 none rw\n");
    put_group_2("/first", "2097152\n", 1, 0);
    put_group_2("/second", "1048576\n", 0, 0);
    assert_reads(2 * MIB, 1 * MIB);
    close_machine();
}
END_TEST

START_TEST(more_inactive_files_than_use_is_no_use) {
    open_machine("0::/app\n", MOUNT_2);
    put_group_2("/sys/fs/cgroup/app", "536870912\n", 10, 20);
    assert_reads(512 * MIB, 0);
    close_machine();
}
END_TEST

/* --- version 1 ---------------------------------------------------------------------------------- */

START_TEST(the_first_version_is_read_too) {
    open_machine("9:name=systemd:/\n8:memory2:/\n7:nomemory:/\n4:cpu,memory:/slice/app\n0::/\n",
                 MOUNT_1);
    put_group_1("/sys/fs/cgroup/memory/slice/app", "536870912\n", 512, 300, 100);
    put_group_1("/sys/fs/cgroup/memory/slice", UNLIMITED, 8796093022207, 900, 0);
    put_group_1("/sys/fs/cgroup/memory", UNLIMITED, 8796093022207, 2000, 0);
    assert_reads(512 * MIB, 200 * MIB);
    put_group_1("/sys/fs/cgroup/memory/slice", "268435456\n", 256, 250, 10);
    assert_reads(256 * MIB, 240 * MIB);
    close_machine();
}
END_TEST

START_TEST(no_limit_of_the_first_version_is_a_very_large_number) {
    open_machine("4:memory:/app\n", MOUNT_1);
    put_group_1("/sys/fs/cgroup/memory/app", UNLIMITED, 8796093022207, 300, 0);
    assert_reads(MACHINE_LIMIT, MACHINE_USED);
    put_text("/proc/meminfo", "");
    assert_reads(0, 0);
    close_machine();
}
END_TEST

START_TEST(below_a_nested_mount_the_path_is_cut_or_not_seen) {
    open_machine("4:memory:/docker/abc/worker\n",
                 "35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n");
    put_group_1("/sys/fs/cgroup/memory/worker", UNLIMITED, 8796093022207, 10, 0);
    put_group_1("/sys/fs/cgroup/memory", "134217728\n", 128, 64, 4);
    assert_reads(128 * MIB, 60 * MIB);
    put_text("/proc/self/cgroup", "4:memory:/docker/abcdef\n"); /* another's, by its beginning */
    assert_reads(128 * MIB, 60 * MIB);
    put_text("/proc/self/cgroup", "4:memory:/kubepods/pod/app\n");
    assert_reads(128 * MIB, 60 * MIB);
    put_group_1("/sys/fs/cgroup/memory/worker", "1048576\n", 1, 0, 0);
    put_text("/proc/self/cgroup", "4:memory:/dockers/xy/worker\n"); /* as long */
    assert_reads(128 * MIB, 60 * MIB);
    close_machine();
}
END_TEST

START_TEST(a_limit_above_what_can_be_seen_is_known_from_the_statistics) {
    open_machine("4:memory:/docker/abc\n",
                 "35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n");
    put_group_1("/sys/fs/cgroup/memory", UNLIMITED, 300, 64, 4);
    assert_reads(300 * MIB, 60 * MIB);
    close_machine();
}
END_TEST

START_TEST(both_versions_may_be_mounted_at_once) {
    open_machine("4:memory:/app\n0::/user\n",
                 MOUNT_1 "38 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 none rw\n");
    put_group_1("/sys/fs/cgroup/memory/app", "536870912\n", 512, 300, 100);
    put_text("/sys/fs/cgroup/unified/user/memory.pressure", "some avg10=7.50 avg60=1.00\n");
    ck_assert_double_eq_tol(assert_reads(512 * MIB, 200 * MIB).stall_percent, 7.5, 1e-9);
    close_machine();
}
END_TEST

/* --- pressure ------------------------------------------------------------------------------------- */

static double stall(void) {
    struct machine_memory memory;
    machine_memory_read(&memory, root);
    return memory.stall_percent;
}

START_TEST(the_nearest_cgroups_pressure_goes_before_the_machines) {
    open_machine("0::/slice/app\n", MOUNT_2);
    put_text("/proc/pressure/memory",
             "some avg10=1.25 avg60=9.00 avg300=0.00 total=5\nfull avg10=8.00\n");
    ck_assert_double_eq_tol(stall(), 1.25, 1e-9);
    put_text("/sys/fs/cgroup/slice/memory.pressure", "some avg10=22.07 avg60=0.00\n");
    ck_assert_double_eq_tol(stall(), 22.07, 1e-9);
    put_text("/sys/fs/cgroup/slice/app/memory.pressure", "some avg10=100.00 avg60=0.00\n");
    ck_assert_double_eq_tol(stall(), 100, 1e-9);
    put_text("/sys/fs/cgroup/slice/app/memory.pressure", "some avg10=0.00 avg60=0.00\n");
    ck_assert_double_eq_tol(stall(), 0, 1e-9);
    close_machine();
}
END_TEST

START_TEST(a_pressure_that_makes_no_sense_is_unknown) {
    static const char *const texts[] = {"",
                                        "some",
                                        "some avg10=",
                                        "some avg10=nan",
                                        "some avg10=-3.00 avg60=0",
                                        "some avg10=101.00 ",
                                        "some avg10=99999999999999999.00",
                                        "full avg10=3.00\n",
                                        "some avg10=4,00",
                                        "some avg10=4"};
    open_machine("", "");
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        put_text("/proc/pressure/memory", texts[i]);
        ck_assert(stall() < 0);
    }
    close_machine();
}
END_TEST

/* --- processes ------------------------------------------------------------------------------------ */

START_TEST(a_process_holds_its_share_or_else_what_is_resident) {
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    open_machine("", "");
    ck_assert_uint_eq(machine_memory_of(77, root), 0);
    put_text("/proc/77/statm", "5000 321 20 1 0 99 0\n");
    ck_assert_uint_eq(machine_memory_of(77, root), 321 * page);
    put_text("/proc/77/smaps_rollup", "");
    ck_assert_uint_eq(machine_memory_of(77, root), 321 * page);
    put_text("/proc/77/smaps_rollup", "Pss: many kB\n");
    ck_assert_uint_eq(machine_memory_of(77, root), 321 * page);
    put_text("/proc/77/smaps_rollup",
             "5619-7ffc ---p 00000000 00:00 0    [rollup]\nRss:   1712 kB\n"
             "Pss_Anon:   5 kB\nPss:     308 kB\nPss_Dirty:  9 kB\n");
    ck_assert_uint_eq(machine_memory_of(77, root), 308 * 1024);
    ck_assert_uint_eq(machine_memory_resident(77, root), 321 * page);
    ck_assert_uint_eq(machine_memory_of(78, root), 0);
    close_machine();
}
END_TEST

START_TEST(resident_bytes_that_make_no_sense_are_none) {
    static const char *const texts[] = {
        "", "\n", "12", "12 ", "12 x", "12 -4", "1 99999999999999999999"};
    open_machine("", "");
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        put_text("/proc/77/statm", texts[i]);
        ck_assert_uint_eq(machine_memory_resident(77, root), 0);
    }
    close_machine();
}
END_TEST

START_TEST(this_process_grows_by_what_it_touches) {
    size_t bytes = 64 * MIB;
    uint64_t before = machine_memory_of(getpid(), "");
    char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert(memory != MAP_FAILED && before > 0);
    uint64_t mapped = machine_memory_of(getpid(), "");
    ck_assert_uint_lt(mapped, before + 8 * MIB);
    memset(memory, 1, bytes);
    uint64_t touched = machine_memory_of(getpid(), "");
    ck_assert_uint_ge(touched, before + 60 * MIB);
    ck_assert_uint_ge(machine_memory_resident(getpid(), ""), 60 * MIB);
    munmap(memory, bytes);
}
END_TEST

START_TEST(this_machine_has_memory_and_uses_some) {
    struct machine_memory memory;
    uint64_t machine = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    machine_memory_read(&memory, "");
    ck_assert(memory.limit_bytes >= MIB && memory.limit_bytes <= machine);
    ck_assert(memory.used_bytes >= MIB && memory.used_bytes <= memory.limit_bytes);
    ck_assert(memory.stall_percent <= 100);
}
END_TEST

/* --- bad contents ---------------------------------------------------------------------------------- */

static const char *const files[] = {"/proc/meminfo",
                                    "/proc/self/cgroup",
                                    "/proc/self/mountinfo",
                                    "/proc/pressure/memory",
                                    "/proc/77/statm",
                                    "/proc/77/smaps_rollup",
                                    "/sys/fs/cgroup/app/memory.max",
                                    "/sys/fs/cgroup/app/memory.current",
                                    "/sys/fs/cgroup/app/memory.stat",
                                    "/sys/fs/cgroup/app/memory.pressure",
                                    "/sys/fs/cgroup/memory/app/memory.limit_in_bytes",
                                    "/sys/fs/cgroup/memory/app/memory.usage_in_bytes",
                                    "/sys/fs/cgroup/memory/app/memory.stat"};

/* Words that mean something to the reader, in no order, between bytes that mean nothing. */
static size_t babble(struct chance *chance, char *text, size_t room) {
    static const char *const words[] = {"MemTotal:",
                                        "MemAvailable:",
                                        "0::/",
                                        "4:memory:/",
                                        "app",
                                        ":",
                                        "::",
                                        "/",
                                        "/..",
                                        " - ",
                                        "cgroup2",
                                        "cgroup",
                                        "rw,memory",
                                        "\\040",
                                        "\\7",
                                        "\\",
                                        "some avg10=",
                                        "12.34",
                                        "-1",
                                        "max",
                                        "\n",
                                        " ",
                                        "kB",
                                        "99999999999999999999999",
                                        "18446744073709551615",
                                        "4096",
                                        "Pss:",
                                        "inactive_file ",
                                        "total_inactive_file ",
                                        "hierarchical_memory_limit ",
                                        "35 31 0:32 / /sys/fs/cgroup rw"};
    size_t length = 0, count = chance_below(chance, 40);
    for (size_t i = 0; i < count && length + 64 < room; i++) {
        if (chance_percent(chance, 20)) {
            text[length++] = (char)chance_next(chance);
            continue;
        }
        const char *word = words[chance_below(chance, sizeof words / sizeof words[0])];
        memcpy(text + length, word, strlen(word));
        length += strlen(word);
    }
    return length;
}

START_TEST(whatever_the_files_say_the_answer_makes_sense) {
    struct chance chance = chance_open();
    char text[4096];
    open_machine("4:memory:/app\n0::/app\n", MOUNT_1 MOUNT_2);
    put_group_2("/sys/fs/cgroup/app", "536870912\n", 300, 120);
    put_group_1("/sys/fs/cgroup/memory/app", "536870912\n", 512, 300, 100);
    for (uint32_t step = 0; step < 3000; step++) {
        struct machine_memory memory;
        size_t file = chance_below(&chance, sizeof files / sizeof files[0]);
        put(files[file], text, babble(&chance, text, sizeof text));
        if (step % 20 == 0) put_text("/proc/self/mountinfo", NOISE MOUNT_1 MOUNT_2);
        if (step % 20 == 0) put_text("/proc/self/cgroup", "4:memory:/app\n0::/app\n");
        machine_memory_read(&memory, root);
        require(memory.limit_bytes <= UINT64_C(1) << 56 && memory.used_bytes <= UINT64_C(1) << 56);
        require(memory.stall_percent >= -1 && memory.stall_percent <= 100.99);
        require(machine_memory_of(77, root) <= UINT64_C(1) << 56);
    }
    close_machine();
}
END_TEST

START_TEST(long_paths_and_folders_in_place_of_files_are_borne) {
    static char text[3 * PATH_MAX];
    open_machine("0::/app\n", MOUNT_2);
    memset(text, '/', sizeof text - 1);
    memcpy(text, "0::", 3);
    put_text("/proc/self/cgroup", text);
    assert_reads(MACHINE_LIMIT, MACHINE_USED);
    text[PATH_MAX - 2] = '\0';
    put_text("/proc/self/cgroup", text);
    assert_reads(MACHINE_LIMIT, MACHINE_USED);
    put_text("/proc/self/cgroup", "0::/app\n");
    put_text("/sys/fs/cgroup/app/memory.max/folder", "");
    put_text("/proc/pressure/memory/folder", "");
    assert_reads(MACHINE_LIMIT, MACHINE_USED);
    close_machine();
    assert_reads(0, 0); /* nothing at all is there any more */
}
END_TEST

SUITE("core/machine_memory", 60, without_a_cgroup_it_is_the_machines_memory,
      a_cgroups_limit_counts_without_the_files_that_nobody_reads,
      the_smallest_limit_on_the_way_up_counts_with_its_own_use,
      a_limit_above_the_machines_memory_does_not_count,
      in_a_container_the_mount_itself_is_the_cgroup,
      a_mount_may_have_any_name_and_stand_beside_others, more_inactive_files_than_use_is_no_use,
      the_first_version_is_read_too, no_limit_of_the_first_version_is_a_very_large_number,
      below_a_nested_mount_the_path_is_cut_or_not_seen,
      a_limit_above_what_can_be_seen_is_known_from_the_statistics,
      both_versions_may_be_mounted_at_once, the_nearest_cgroups_pressure_goes_before_the_machines,
      a_pressure_that_makes_no_sense_is_unknown, a_process_holds_its_share_or_else_what_is_resident,
      resident_bytes_that_make_no_sense_are_none, this_process_grows_by_what_it_touches,
      this_machine_has_memory_and_uses_some, whatever_the_files_say_the_answer_makes_sense,
      long_paths_and_folders_in_place_of_files_are_borne)
