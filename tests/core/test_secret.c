/* secret: one for the whole process, another for every other. */
#include "core/base/secret.h"
#include "tests/support/suite.h"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

START_TEST(the_bytes_stay_what_they_are) {
    uint8_t first[SECRET_BYTES];
    memcpy(first, secret_bytes(), sizeof first);
    ck_assert_ptr_eq(secret_bytes(), secret_bytes());
    ck_assert_mem_eq(secret_bytes(), first, sizeof first);
}
END_TEST

/* 192 random bytes have about 135 values; half of that never happens. */
START_TEST(all_of_it_is_random) {
    for (size_t half = 0; half < 2; half++) {
        size_t values = 0, seen[256] = {0};
        for (size_t i = 0; i < SECRET_BYTES / 2; i++)
            values += seen[secret_bytes()[half * SECRET_BYTES / 2 + i]]++ == 0;
        ck_assert_uint_gt(values, 48);
    }
}
END_TEST

/* Both are new processes as far as the secret goes: this one has not drawn any yet. */
START_TEST(every_process_has_its_own) {
    uint8_t secrets[2][SECRET_BYTES];
    for (int i = 0; i < 2; i++) {
        int ends[2];
        ck_assert_int_eq(pipe(ends), 0);
        pid_t child = fork();
        if (child == 0) _exit(write(ends[1], secret_bytes(), SECRET_BYTES) == SECRET_BYTES ? 0 : 1);
        ck_assert_int_eq(read(ends[0], secrets[i], SECRET_BYTES), SECRET_BYTES);
        ck_assert_int_eq(waitpid(child, NULL, 0), child);
        close(ends[0]);
        close(ends[1]);
    }
    ck_assert_mem_ne(secrets[0], secrets[1], SECRET_BYTES);
}
END_TEST

SUITE("core/secret", 30, the_bytes_stay_what_they_are, all_of_it_is_random,
      every_process_has_its_own)
