/* spawner: what it starts, what it measures, and that looking delays no start. */
#include "core/transport/spawner.h"
#include "tests/support/suite.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define JOBS 1000
#define MIB  (UINT64_C(1) << 20)

static uv_loop_t loop;
static struct spawner *spawner;
static struct spawn_job jobs[JOBS];
static struct spawn_job *order[JOBS];
static size_t done;

static void on_done(struct spawn_job *job) {
    order[done++] = job;
}

static void open_spawner(void) {
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    ck_assert_int_eq(spawner_open(&spawner, &loop), OK);
    memset(jobs, 0, sizeof jobs);
    done = 0;
}

static void submit(struct spawn_job *job, enum spawn_kind kind) {
    static char *const arguments[] = {"true", NULL};
    job->kind = kind;
    job->done = on_done;
    if (kind == SPAWN_MEASURE) job->pid = getpid();
    if (kind == SPAWN_START) {
        job->program = "/bin/true";
        job->arguments = job->environment = arguments;
        job->socket = job->log = STDERR_FILENO;
        job->rings = job->bell = -1;
    }
    spawner_submit(spawner, job);
}

static void finish(void) {
    spawner_close(spawner);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
}

static void assert_ended_well(const struct spawn_job *job) {
    int status = -1;
    ck_assert_int_eq(job->error, 0);
    ck_assert_int_eq(waitpid(job->pid, &status, 0), job->pid);
    ck_assert_int_eq(status, 0);
    close(job->pidfd);
}

START_TEST(jobs_are_done_on_the_loop_one_after_the_other) {
    open_spawner();
    for (size_t i = 0; i < 3; i++) {
        submit(&jobs[i], SPAWN_START);
        while (done == i) uv_run(&loop, UV_RUN_ONCE);
        assert_ended_well(&jobs[i]);
    }
    finish();
}
END_TEST

START_TEST(a_program_that_is_not_there_says_so) {
    open_spawner();
    jobs[0] =
        (struct spawn_job){.done = on_done, .program = "/nowhere/program", .rings = -1, .bell = -1};
    jobs[0].arguments = jobs[0].environment = (char *const[]){NULL};
    jobs[0].socket = jobs[0].log = STDERR_FILENO;
    spawner_submit(spawner, &jobs[0]);
    finish();
    ck_assert_int_eq(jobs[0].error, ENOENT);
    ck_assert_int_eq(jobs[0].pidfd, -1);
}
END_TEST

/* Shared pages are divided among those that map them. */
START_TEST(a_measured_process_holds_its_share) {
    size_t bytes = 64 * MIB;
    char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int told[2];
    char byte = 0;
    ck_assert(memory != MAP_FAILED && pipe(told) == 0);
    memset(memory, 1, bytes);
    pid_t child = fork();
    if (child == 0) {
        unsigned sum = 0;
        for (size_t i = 0; i < bytes; i += 4096) sum += (unsigned char)memory[i];
        ck_assert_int_eq(write(told[1], &sum, 1), 1);
        pause();
        _exit(0);
    }
    ck_assert_int_eq(read(told[0], &byte, 1), 1);
    open_spawner();
    submit(&jobs[0], SPAWN_MEASURE);
    finish();
    ck_assert_uint_ge(jobs[0].resident_bytes, 30 * MIB);
    ck_assert_uint_ge(machine_memory_resident(getpid(), ""), jobs[0].resident_bytes + 24 * MIB);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    munmap(memory, bytes);
}
END_TEST

START_TEST(a_process_that_is_gone_holds_nothing) {
    open_spawner();
    pid_t child = fork();
    if (child == 0) _exit(0);
    waitpid(child, NULL, 0);
    jobs[0] = (struct spawn_job){
        .kind = SPAWN_MEASURE, .done = on_done, .pid = child, .resident_bytes = 7};
    spawner_submit(spawner, &jobs[0]);
    finish();
    ck_assert_uint_eq(jobs[0].resident_bytes, 0);
}
END_TEST

START_TEST(a_weighing_tells_of_the_machine_and_of_the_gateway) {
    open_spawner();
    submit(&jobs[0], SPAWN_WEIGH);
    finish();
    ck_assert_uint_eq(done, 1);
    ck_assert_uint_gt(jobs[0].machine.limit_bytes, jobs[0].machine.used_bytes);
    ck_assert_uint_gt(jobs[0].machine.used_bytes, 0);
    ck_assert_uint_gt(jobs[0].resident_bytes, MIB / 4);
    ck_assert_uint_lt(jobs[0].resident_bytes, jobs[0].machine.limit_bytes);
}
END_TEST

START_TEST(a_start_goes_before_all_that_only_look) {
    size_t place = 0;
    open_spawner();
    for (size_t i = 0; i < JOBS - 1; i++)
        submit(&jobs[i], i % 2 == 0 ? SPAWN_WEIGH : SPAWN_MEASURE);
    submit(&jobs[JOBS - 1], SPAWN_START);
    finish();
    ck_assert_uint_eq(done, JOBS);
    while (order[place] != &jobs[JOBS - 1]) place++;
    ck_assert_uint_lt(place, JOBS - 1);
    assert_ended_well(&jobs[JOBS - 1]);
    size_t looked = 0; /* these stay in their order */
    for (size_t i = 0; i < JOBS; i++)
        if (order[i] != &jobs[JOBS - 1]) ck_assert_ptr_eq(order[i], &jobs[looked++]);
}
END_TEST

SUITE("core/spawner", 60, jobs_are_done_on_the_loop_one_after_the_other,
      a_program_that_is_not_there_says_so, a_measured_process_holds_its_share,
      a_process_that_is_gone_holds_nothing, a_weighing_tells_of_the_machine_and_of_the_gateway,
      a_start_goes_before_all_that_only_look)
