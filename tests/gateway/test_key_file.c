/* key_file: what is written is read again, what is not a key file is refused in clear text. */
#include "gateway/keys/key_file.h"
#include "tests/support/suite.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define ID   "0123456789abcdef"
#define SALT "00112233445566778899aabbccddeeff"
#define HASH "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define MUST                                                                                       \
    "\"id\":\"" ID "\",\"name\":\"ci\",\"tenant\":\"acc\",\"salt\":\"" SALT "\",\"hash\":\"" HASH  \
    "\",\"created\":\"2026-01-31T12:00:00Z\""
#define SCOPES       ",\"scopes\":[\"invoke\"]"
#define FILE_OF(key) "{\"version\":1,\"keys\":[" key "]}"

static char folder[64], path[96], error[KEY_ERROR_BYTES];
static struct keys *keys;

static void make_folder(void) {
    snprintf(folder, sizeof folder, "/tmp/poolgate-keys-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/keys.json", folder);
}

static void remove_folder(void) {
    unlink(path);
    ck_assert_int_eq(rmdir(folder), 0); /* nothing else was left there */
}

static enum outcome parse(const char *text) {
    return key_text_read(&keys, text, strlen(text), error);
}

static void expect_refusal(const char *text, const char *why) {
    ck_assert_msg(parse(text) == INVALID_REQUEST, "%s", text);
    ck_assert_ptr_null(keys);
    ck_assert_str_eq(error, why);
}

START_TEST(a_key_has_what_its_members_say) {
    ck_assert_int_eq(
        parse(FILE_OF("{" MUST ",\"expires\":\"2027-01-31T12:00:00Z\",\"rate\":100,"
                      "\"burst\":200,\"concurrency\":8,\"scopes\":[\"read\",\"admin\"],"
                      "\"max_priority\":\"low\"}")),
        OK);
    const struct api_key *key = keys->items[0];
    ck_assert_str_eq(key->id, ID);
    ck_assert_str_eq(key->name, "ci");
    ck_assert_str_eq(key->tenant, "acc");
    ck_assert_uint_eq(key->salt[15], 0xff);
    ck_assert_uint_eq(key->hash[1], 0x11);
    ck_assert_uint_eq(key->created_s, 1769860800);
    ck_assert_uint_eq(key->expires_s, 1769860800 + 365 * 86400);
    ck_assert_uint_eq(key->rate, 100);
    ck_assert_uint_eq(key->burst, 200);
    ck_assert_uint_eq(key->concurrency, 8);
    ck_assert_uint_eq(key->scopes, KEY_SCOPE_READ | KEY_SCOPE_ADMIN);
    ck_assert_int_eq(key->max_priority, PRIORITY_LOW);
    keys_free(keys);
}
END_TEST

START_TEST(what_is_left_out_is_no_limit) {
    ck_assert_int_eq(parse(FILE_OF("{" MUST SCOPES "}")), OK);
    const struct api_key *key = keys->items[0];
    ck_assert_uint_eq(key->expires_s + key->rate + key->burst + key->concurrency, 0);
    ck_assert_int_eq(key->max_priority, PRIORITY_CRITICAL);
    keys_free(keys);
    ck_assert_int_eq(parse(FILE_OF("")), OK);
    ck_assert_uint_eq(keys->count, 0);
    keys_free(keys);
    ck_assert_int_eq(parse(FILE_OF("{" MUST SCOPES ",\"rate\":7}")), OK);
    ck_assert_uint_eq(keys->items[0]->burst, 7);
    keys_free(keys);
}
END_TEST

START_TEST(each_mistake_is_told_without_telling_a_hash) {
    static const struct {
        const char *text, *why;
    } rows[] = {
        {"", "line 1, column 0: this is not JSON"},
        {"[]", "the file is not one object"},
        {"{\"version\":2,\"keys\":[]}", "\"version\" is not 1"},
        {"{\"version\":1.0,\"keys\":[]}", "\"version\" is not 1"},
        {"{\"version\":1}", "\"keys\" is not a list"},
        {"{\"version\":1,\"keys\":[],\"more\":0}",
         "there is more in it than \"version\" and \"keys\""},
        {"{\"version\":1,\"version\":1,\"keys\":[]}", "line 1, column 22: a member is there twice"},
        {FILE_OF("[]"), "keys[0]: is not an object"},
        {FILE_OF("{" MUST SCOPES ",\"note\":1}"), "keys[0]: \"note\" is no member of a key"},
        {FILE_OF("{" MUST "}"),
         "keys[0]: \"scopes\" is not a list of invoke, read and admin, each once"},
        {FILE_OF("{" MUST ",\"scopes\":[]}"),
         "keys[0]: \"scopes\" is not a list of invoke, read and admin, each once"},
        {FILE_OF("{" MUST ",\"scopes\":[\"invoke\",\"invoke\"]}"),
         "keys[0]: \"scopes\" is not a list of invoke, read and admin, each once"},
        {FILE_OF("{" MUST ",\"scopes\":[\"invoke\",\"root\"]}"),
         "keys[0]: \"scopes\" is not a list of invoke, read and admin, each once"},
        {FILE_OF("{" MUST SCOPES ",\"rate\":0}"),
         "keys[0]: \"rate\" is not a whole number from 1 to 1000000"},
        {FILE_OF("{" MUST SCOPES ",\"rate\":1.5}"),
         "keys[0]: \"rate\" is not a whole number from 1 to 1000000"},
        {FILE_OF("{" MUST SCOPES ",\"burst\":5}"), "keys[0]: \"burst\" is there without \"rate\""},
        {FILE_OF("{" MUST SCOPES ",\"concurrency\":-1}"),
         "keys[0]: \"concurrency\" is not a whole number from 1 to 1000000"},
        {FILE_OF("{" MUST SCOPES ",\"max_priority\":\"top\"}"),
         "keys[0]: \"max_priority\" is none of critical, high, normal, low, batch"},
        {FILE_OF("{" MUST SCOPES ",\"expires\":\"2026-1-1T0:0:0Z\"}"),
         "keys[0]: \"expires\" is not a time such as 2026-01-31T12:00:00Z"},
        {FILE_OF("{" MUST SCOPES ",\"expires\":\"2026-02-30T00:00:00Z\"}"),
         "keys[0]: \"expires\" is not a time such as 2026-01-31T12:00:00Z"},
        {FILE_OF("{" MUST SCOPES "},{" MUST SCOPES "}"),
         "keys[1]: an earlier key has the same \"id\""},
        {FILE_OF("{\"id\":\"" SALT "\"}"),
         "keys[0]: \"id\" is not 16 lower-case hexadecimal digits"},
        {FILE_OF("{\"id\":\"0123456789ABCDEF\"}"),
         "keys[0]: \"id\" is not 16 lower-case hexadecimal digits"},
        {FILE_OF("{\"id\":\"" ID "\",\"name\":\"a b\"}"),
         "keys[0]: \"name\" is not 1 to 63 of A-Z a-z 0-9 . _ -"},
        {FILE_OF("{\"id\":\"" ID "\",\"name\":\"a\",\"tenant\":\"t\",\"salt\":\"" SALT
                 "\",\"hash\":\"" SALT "\"}"),
         "keys[0]: \"hash\" is not 64 lower-case hexadecimal digits"},
        {"{\"version\":1,\"keys\":[\"" HASH "]}", "line 1, column 88: this is not JSON"},
        {"[[[[[[[[[", "the file is nested deeper than 8"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        expect_refusal(rows[i].text, rows[i].why);
}
END_TEST

START_TEST(brackets_in_texts_do_not_count_as_depth) {
    ck_assert_int_eq(parse("{\"a\":\"[[[[[[[[[[\\\"[[[[[[[[[[\"}"), INVALID_REQUEST);
    ck_assert_str_eq(error, "\"version\" is not 1");
    char deep[4096];
    memset(deep, '[', sizeof deep);
    ck_assert_int_eq(key_text_read(&keys, deep, sizeof deep, error), INVALID_REQUEST);
    ck_assert_str_eq(error, "the file is nested deeper than 8");
}
END_TEST

START_TEST(a_text_cut_anywhere_is_refused) {
    static const char whole[] = FILE_OF("{" MUST SCOPES "}");
    for (size_t bytes = 0; bytes + 1 < sizeof whole; bytes++) {
        ck_assert_int_eq(key_text_read(&keys, whole, bytes, error), INVALID_REQUEST);
        ck_assert_ptr_null(strstr(error, "0011"));
    }
}
END_TEST

/* --- the file --- */

static void write_keys(const char *text) {
    struct key_file_lock lock;
    ck_assert_int_eq(parse(text), OK);
    ck_assert_int_eq(key_file_lock(&lock, path, error), OK);
    ck_assert_int_eq(key_file_write(keys, path, &lock, error), OK);
    key_file_unlock(&lock);
    keys_free(keys);
}

START_TEST(what_is_written_is_read_again) {
    struct stat info;
    size_t bytes;
    make_folder();
    write_keys(
        FILE_OF("{" MUST ",\"rate\":3,\"burst\":9,\"concurrency\":2,\"scopes\":[\"invoke\","
                "\"read\"],\"max_priority\":\"high\",\"expires\":\"2027-01-31T12:00:00Z\"}"));
    ck_assert_int_eq(stat(path, &info), 0);
    ck_assert_uint_eq(info.st_mode & 07777, 0600);
    ck_assert_int_eq(key_file_read(&keys, path, error), OK);
    char *once = key_text_write(keys, &bytes);
    keys_free(keys);
    ck_assert_int_eq(parse(once), OK);
    char *twice = key_text_write(keys, &bytes);
    ck_assert_str_eq(once, twice);
    ck_assert_uint_eq(keys->items[0]->burst, 9);
    keys_free(keys);
    free(once);
    free(twice);
    remove_folder();
}
END_TEST

START_TEST(a_file_that_others_may_use_is_refused) {
    make_folder();
    write_keys(FILE_OF("{" MUST SCOPES "}"));
    static const mode_t modes[] = {0640, 0604, 0620, 0601, 0660};
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        ck_assert_int_eq(chmod(path, modes[i]), 0);
        ck_assert_int_eq(key_file_read(&keys, path, error), INVALID_REQUEST);
        ck_assert_ptr_nonnull(strstr(error, "others than its owner may use it (mode 06"));
    }
    ck_assert_int_eq(chmod(path, 0400), 0);
    ck_assert_int_eq(key_file_read(&keys, path, error), OK);
    keys_free(keys);
    if (geteuid() == 0) {
        ck_assert_int_eq(chown(path, 65534, 65534), 0);
        ck_assert_int_eq(key_file_read(&keys, path, error), INVALID_REQUEST);
        ck_assert_str_eq(error, "belongs to user 65534, allowed is 0");
    }
    remove_folder();
}
END_TEST

START_TEST(what_is_no_file_is_refused) {
    make_folder();
    ck_assert_int_eq(key_file_read(&keys, path, error), NOT_FOUND);
    ck_assert_str_eq(error, "cannot be read: No such file or directory");
    ck_assert_int_eq(key_file_read(&keys, folder, error), INVALID_REQUEST);
    ck_assert_str_eq(error, "is not a regular file");
    ck_assert_int_eq(mkfifo(path, 0600), 0); /* must not hang */
    ck_assert_int_eq(key_file_read(&keys, path, error), INVALID_REQUEST);
    ck_assert_str_eq(error, "is not a regular file");
    unlink(path);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    ck_assert_int_eq(ftruncate(fd, (off_t)KEY_TEXT_MOST + 1), 0);
    close(fd);
    ck_assert_int_eq(key_file_read(&keys, path, error), INVALID_REQUEST);
    ck_assert_str_eq(error, "is larger than 8 MiB");
    remove_folder();
}
END_TEST

START_TEST(a_change_is_seen_by_the_mark) {
    make_folder();
    struct key_file_mark none = key_file_mark(path), first, second;
    write_keys(FILE_OF(""));
    first = key_file_mark(path);
    write_keys(FILE_OF(""));
    second = key_file_mark(path);
    ck_assert_mem_ne(&none, &first, sizeof first);
    ck_assert_mem_ne(&first, &second, sizeof first);
    first = key_file_mark(path);
    ck_assert_mem_eq(&first, &second, sizeof first);
    remove_folder();
}
END_TEST

/* Eight processes add a key each, again and again, every one by reading and replacing the file. */
#define WRITERS 8
#define ROUNDS  10

static void add_one(int number) {
    struct key_file_lock lock;
    struct api_key key = {.scopes = KEY_SCOPE_INVOKE, .created_s = 1, .name = "a", .tenant = "b"};
    snprintf(key.id, sizeof key.id, "%016x", number);
    bool good = key_file_lock(&lock, path, error) == OK &&
                key_file_read(&keys, path, error) == OK && keys_add(keys, &key) == OK &&
                key_file_write(keys, path, &lock, error) == OK;
    key_file_unlock(&lock);
    keys_free(keys);
    if (!good) _exit(1);
}

START_TEST(writers_take_turns) {
    int status;
    make_folder();
    write_keys(FILE_OF(""));
    for (int writer = 0; writer < WRITERS; writer++) {
        if (fork() != 0) continue;
        for (int round = 0; round < ROUNDS; round++) add_one(writer * ROUNDS + round);
        _exit(0);
    }
    for (int writer = 0; writer < WRITERS; writer++) {
        ck_assert_int_gt(wait(&status), 0);
        ck_assert_int_eq(status, 0);
    }
    ck_assert_int_eq(key_file_read(&keys, path, error), OK);
    ck_assert_uint_eq(keys->count, WRITERS * ROUNDS);
    keys_free(keys);
    remove_folder();
}
END_TEST

START_TEST(a_path_that_leads_nowhere_is_refused) {
    struct key_file_lock lock;
    char long_path[5000];
    memset(long_path, 'a', sizeof long_path - 1);
    long_path[sizeof long_path - 1] = '\0';
    ck_assert_int_eq(key_file_lock(&lock, long_path, error), INVALID_REQUEST);
    ck_assert_str_eq(error, "its path is too long");
    ck_assert_int_eq(key_file_lock(&lock, "/nowhere/keys.json", error), INVALID_REQUEST);
    ck_assert_str_eq(error, "its folder: No such file or directory");
}
END_TEST

SUITE("gateway/keys/key_file", 60, a_key_has_what_its_members_say, what_is_left_out_is_no_limit,
      each_mistake_is_told_without_telling_a_hash, brackets_in_texts_do_not_count_as_depth,
      a_text_cut_anywhere_is_refused, what_is_written_is_read_again,
      a_file_that_others_may_use_is_refused, what_is_no_file_is_refused,
      a_change_is_seen_by_the_mark, writers_take_turns, a_path_that_leads_nowhere_is_refused)
