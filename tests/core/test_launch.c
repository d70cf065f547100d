#include "core/transport/launch.h"
#include "tests/support/suite.h"

#include <string.h>

static const char *const command[] = {"python3", "worker.py", "--run", "0000000000", NULL};

static struct launch launch_of(const char *plugin, const char *chaos) {
    struct pool_options pool = {.name = "a", .chaos = chaos};
    pool.worker.plugin = plugin;
    pool.worker.command = plugin == NULL ? command : NULL;
    struct launch launch;
    ck_assert_int_eq(launch_make(&launch, &pool, 3, "/w", "/plugins"), OK);
    return launch;
}

/* What stands behind a word of the command line; NULL: it is not there. */
static const char *behind(const struct launch *launch, const char *word) {
    for (char **at = launch->arguments; *at != NULL; at++)
        if (strcmp(*at, word) == 0) return at[1];
    return NULL;
}

START_TEST(a_plug_in_is_told_its_pool_slot_and_path) {
    struct launch launch = launch_of("echo", NULL);
    ck_assert_str_eq(launch.arguments[0], "/w");
    ck_assert_str_eq(behind(&launch, "--pool"), "a");
    ck_assert_str_eq(behind(&launch, "--slot"), "3");
    ck_assert_str_eq(behind(&launch, "--plugin"), "/plugins/echo.so");
    ck_assert_ptr_null(behind(&launch, "--chaos"));
    ck_assert_ptr_null(behind(&launch, "--run"));
    launch_free(&launch);
    launch = launch_of("echo", "");
    ck_assert_ptr_null(behind(&launch, "--chaos"));
    launch_free(&launch);
}
END_TEST

START_TEST(faults_are_told_with_the_number_of_the_start) {
    struct launch launch = launch_of("echo", "seed=42 crash=5%");
    ck_assert_str_eq(behind(&launch, "--chaos"), "seed=42 crash=5%");
    launch_count(&launch);
    ck_assert_str_eq(behind(&launch, "--run"), "0000000001");
    for (int i = 0; i < 41; i++) launch_count(&launch);
    ck_assert_str_eq(behind(&launch, "--run"), "0000000042");
    launch.runs = UINT32_MAX - 1;
    launch_count(&launch);
    ck_assert_str_eq(behind(&launch, "--run"), "4294967295");
    launch_free(&launch);
}
END_TEST

START_TEST(the_words_of_a_command_are_its_own) {
    struct launch launch = launch_of(NULL, "crash=5%");
    ck_assert_ptr_null(behind(&launch, "--chaos"));
    launch_count(&launch);
    ck_assert_str_eq(behind(&launch, "--run"), "0000000000");
    launch_free(&launch);
}
END_TEST

SUITE("core/transport/launch", 30, a_plug_in_is_told_its_pool_slot_and_path,
      faults_are_told_with_the_number_of_the_start, the_words_of_a_command_are_its_own)
