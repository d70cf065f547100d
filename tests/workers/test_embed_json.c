/* embed's JSON, against what RFC 8259 lets two readers understand differently and what only costs memory:
 * a list that must be accepted, a list that must be refused, and one body that grows when it is read. */
#include "tests/support/fake_host.h"
#include "tests/support/suite.h"

#include <sys/resource.h>

struct example {
    const char *body;
    size_t bytes;
};
#define EXAMPLE(text)                                                                              \
    { text, sizeof(text) - 1 }

static struct plugin embed;

static struct answer ask(const char *body, size_t bytes) {
    return plugin_ask(&embed, "application/json", "", body, bytes);
}

static const struct example accepted[] = {
    EXAMPLE("{\"input\":\"a\"}"),
    EXAMPLE(" \t\r\n{ \"input\" : [ \"a\" , \"b\" ] } \n"),
    EXAMPLE("{\"input\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t a\"}"),
    EXAMPLE("{\"input\":\"\\u00e9 a\"}"),
    EXAMPLE("{\"input\":\"\\ud83e\\udd86 a\"}"),
    EXAMPLE("{\"input\":\"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\xa6\x86\"}"),
    EXAMPLE("{\"input\":\"\xef\xbf\xbf \xf4\x8f\xbf\xbf a\"}"),
    EXAMPLE("{\"\\u0069nput\":\"a\"}"),
    EXAMPLE("{\"input\":\"\x7f a\"}"),
    EXAMPLE("{\"input\":\"[[[[{{{{:,:,:, a\"}"),
    EXAMPLE("{\"input\":\"a\",\"dimensions\":8}"),
    EXAMPLE("{\"input\":\"a\",\"dimensions\":384,\"encoding_format\":\"float\",\"model\":\"\","
            "\"user\":\"u\"}"),
    EXAMPLE("{\"user\":\"u\",\"input\":\"\xef\xbb\xbf in a text it is one\"}"),
};

static const struct example refused[] = {
    EXAMPLE(""),
    EXAMPLE(" "),
    EXAMPLE("\0"),
    EXAMPLE("{"),
    EXAMPLE("}"),
    EXAMPLE("{\"input\""),
    EXAMPLE("{\"input\":"),
    EXAMPLE("{\"input\":\"a"),
    EXAMPLE("{\"input\":\"a\""),
    EXAMPLE("{\"input\":[\"a\"}"),
    EXAMPLE("{\"input\":[\"a\",]}"),
    EXAMPLE("{\"input\":[,\"a\"]}"),
    EXAMPLE("{\"input\":[\"a\" \"b\"]}"),
    EXAMPLE("{\"input\":\"a\",}"),
    EXAMPLE("{,\"input\":\"a\"}"),
    EXAMPLE("{\"input\" \"a\"}"),
    EXAMPLE("{\"input\":\"a\";\"user\":\"b\"}"),
    EXAMPLE("{input:\"a\"}"),
    EXAMPLE("{'input':'a'}"),
    EXAMPLE("{\"input\":a}"),
    EXAMPLE("{\"input\":\"a\"} x"),
    EXAMPLE("{\"input\":\"a\"}{}"),
    EXAMPLE("{\"input\":\"a\"}\0"),
    EXAMPLE("{\"input\":\"a\"}]"),
    EXAMPLE("{\"input\":\"a\"} // why"),
    EXAMPLE("/* why */{\"input\":\"a\"}"),
    EXAMPLE("\xef\xbb\xbf{\"input\":\"a\"}"),
    EXAMPLE("\xff\xfe{\0\"\0"),
    EXAMPLE("\v{\"input\":\"a\"}"),
    EXAMPLE("{\"input\":\"a\",\"input\":\"a\"}"),
    EXAMPLE("{\"input\":\"a\",\"\\u0069nput\":\"b\"}"),
    EXAMPLE("{\"user\":\"a\",\"input\":\"a\",\"user\":\"b\"}"),
    EXAMPLE("{\"input\":\"a\0b\"}"),
    EXAMPLE("{\"input\":\"a\\u0000b\"}"),
    EXAMPLE("{\"input\":\"a\",\"user\\u0000\":\"b\"}"),
    EXAMPLE("{\"input\":\"a\nb\"}"),
    EXAMPLE("{\"input\":\"a\x1b[31mb\"}"),
    EXAMPLE("{\"input\":\"\\x61\"}"),
    EXAMPLE("{\"input\":\"\\u12\"}"),
    EXAMPLE("{\"input\":\"\\ud800\"}"),
    EXAMPLE("{\"input\":\"\\udc00\"}"),
    EXAMPLE("{\"input\":\"\\ud800\\ud800\"}"),
    EXAMPLE("{\"input\":\"\\ud800a\"}"),
    EXAMPLE("{\"input\":\"\xed\xa0\x80\"}"),
    EXAMPLE("{\"input\":\"\xc0\xaf\"}"),
    EXAMPLE("{\"input\":\"\xe0\x80\xaf\"}"),
    EXAMPLE("{\"input\":\"\xf4\x90\x80\x80\"}"),
    EXAMPLE("{\"input\":\"\xff\"}"),
    EXAMPLE("{\"input\":\"\xe2\x82\"}"),
    EXAMPLE("{\"input\":\"a\",\"dimensions\":1e999}"),
    EXAMPLE("{\"input\":\"a\",\"dimensions\":-1e999}"),
    EXAMPLE("{\"input\":\"a\",\"dimensions\":9223372036854775808}"),
    EXAMPLE("{\"input\":\"a\",\"dimensions\":-9223372036854775809}"),
    EXAMPLE("{\"input\":\"a\",\"dimensions\":18446744073709551624}"), /* 8 and 2 to the 64th */
    EXAMPLE("{\"input\":\"a\",\"dimensions\":8.5}"),
    EXAMPLE("{\"input\":\"a\",\"dimensions\":08}"),
    EXAMPLE("{\"input\":\"a\",\"dimensions\":+8}"),
    EXAMPLE("{\"input\":\"a\",\"dimensions\":0x8}"),
    EXAMPLE("{\"input\":\"a\",\"dimensions\":8.}"),
    EXAMPLE("{\"input\":\"a\",\"dimensions\":.8e1}"),
    EXAMPLE("{\"input\":\"a\",\"dimensions\":NaN}"),
    EXAMPLE("{\"input\":\"a\",\"dimensions\":Infinity}"),
    EXAMPLE("{\"input\":\"a\",\"dimensions\":-8}"),
    EXAMPLE("{\"input\":\"a\",\"dimensions\":\"8\"}"),
    EXAMPLE("{\"input\":\"a\",\"dimensions\":null}"),
    EXAMPLE("{\"input\":\"a\",\"user\":NULL}"),
    EXAMPLE("{\"input\":True}"),
    EXAMPLE("\"a\""),
    EXAMPLE("7"),
    EXAMPLE("true"),
};

START_TEST(every_document_that_must_be_accepted_is) {
    embed = plugin_loaded("embed", NULL, NULL);
    for (size_t i = 0; i < sizeof accepted / sizeof accepted[0]; i++) {
        struct answer answer = ask(accepted[i].body, accepted[i].bytes);
        ck_assert_msg(answer.kind == ANSWER_WHOLE, "%s: %s", accepted[i].body, answer.message);
        answer_free(&answer);
    }
    plugin_close(&embed);
}
END_TEST

START_TEST(every_document_that_must_be_refused_is_and_is_told_why) {
    embed = plugin_loaded("embed", NULL, NULL);
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        struct answer answer = ask(refused[i].body, refused[i].bytes);
        ck_assert_msg(answer.kind == ANSWER_ERROR && answer.error == POOLGATE_INVALID_INPUT,
                      "accepted: %s", refused[i].body);
        ck_assert_msg(strlen(answer.message) > 10, "no reason: %s", refused[i].body);
        for (const char *c = answer.message; *c != '\0'; c++)
            ck_assert_msg((unsigned char)*c >= ' ' && *c != 0x7f, "raw byte in: %s",
                          answer.message);
        answer_free(&answer);
    }
    plugin_close(&embed);
}
END_TEST

/* depth brackets around a text, as a member and as the input. */
static void refuse_nested(size_t depth, const char *open, const char *close) {
    char *body;
    size_t bytes;
    FILE *out = open_memstream(&body, &bytes);
    fputs("{\"input\":", out);
    for (size_t i = 0; i < depth; i++) fputs(open, out);
    fputs("\"a\"", out);
    for (size_t i = 0; i < depth; i++) fputs(close, out);
    fputs("}", out);
    fclose(out);
    struct answer answer = ask(body, bytes);
    ck_assert_msg(answer.kind == ANSWER_ERROR && answer.error == POOLGATE_INVALID_INPUT, "%zu x %s",
                  depth, open);
    answer_free(&answer);
    free(body);
}

START_TEST(no_depth_is_too_deep_to_be_refused) {
    static const size_t depths[] = {2, 3, 4, 63, 64, 65, 2047, 2048, 2049, 100000, 4000000};
    embed = plugin_loaded("embed", NULL, NULL);
    for (size_t i = 0; i < sizeof depths / sizeof depths[0]; i++) {
        refuse_nested(depths[i], "[", "]");
        refuse_nested(depths[i], "{\"a\":", "}");
    }
    plugin_close(&embed);
}
END_TEST

static size_t most_resident_bytes(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (size_t)usage.ru_maxrss * 1024;
}

START_TEST(four_megabytes_of_empty_values_cost_nothing_to_refuse) {
    static const char *const pieces[] = {"{},", "[],", "0,", "\"\",", "{\"\":", "\"a\":0,"};
    enum { BYTES = 4 << 20 };
    char *body = malloc(BYTES + 8);
    embed = plugin_loaded("embed", NULL, NULL);
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        size_t used = 0;
        body[used++] = pieces[i][0] == '\"' && strchr(pieces[i], ':') != NULL ? '{' : '[';
        for (size_t bytes = strlen(pieces[i]); used < BYTES; used += bytes)
            memcpy(body + used, pieces[i], bytes);
        size_t before = most_resident_bytes();
        struct answer answer = ask(body, used);
        ck_assert_int_eq(answer.kind, ANSWER_ERROR);
        ck_assert_int_eq(answer.error, POOLGATE_INVALID_INPUT);
        ck_assert_uint_le(most_resident_bytes() - before, 1 << 20);
        answer_free(&answer);
    }
    plugin_close(&embed);
    free(body);
}
END_TEST

START_TEST(a_document_has_at_most_32_mebibytes) {
    size_t most = (size_t)32 << 20;
    char *body = malloc(most + 1);
    embed = plugin_loaded("embed", NULL, NULL);
    memset(body, ' ', most + 1);
    memcpy(body, "{\"input\":\"a\"}", 13);
    struct answer answer = ask(body, most);
    ck_assert_msg(answer.kind == ANSWER_WHOLE, "%s", answer.message);
    answer_free(&answer);
    answer = ask(body, most + 1);
    ck_assert_int_eq(answer.kind, ANSWER_ERROR);
    ck_assert_str_eq(answer.message, "JSON: 33554433 bytes; allowed: 33554432 bytes");
    answer_free(&answer);
    plugin_close(&embed);
    free(body);
}
END_TEST

/* A text as long as a document may be: what reading it takes at most. */
START_TEST(reading_takes_at_most_eight_times_the_document) {
    size_t bytes = (size_t)8 << 20, before;
    char *body = malloc(bytes);
    embed = plugin_loaded("embed", NULL, NULL);
    memset(body, 'a', bytes);
    memcpy(body, "{\"input\":\"", 10);
    memcpy(body + bytes - 2, "\"}", 2);
    before = most_resident_bytes();
    struct answer answer = ask(body, bytes);
    ck_assert_int_eq(answer.kind, ANSWER_ERROR);
    ck_assert_str_eq(answer.message, "input: longer than 1 MiB");
    ck_assert_uint_le(most_resident_bytes() - before, 8 * bytes);
    answer_free(&answer);
    plugin_close(&embed);
    free(body);
}
END_TEST

SUITE("workers/embed: JSON", 60, every_document_that_must_be_accepted_is,
      every_document_that_must_be_refused_is_and_is_told_why, no_depth_is_too_deep_to_be_refused,
      four_megabytes_of_empty_values_cost_nothing_to_refuse, a_document_has_at_most_32_mebibytes,
      reading_takes_at_most_eight_times_the_document)
