/* What a client's text may be, through either door; and the characters below it (core/base/utf8). */
#include "core/base/utf8.h"
#include "gateway/text_rules.h"
#include "tests/support/suite.h"

#include <stdint.h>
#include <string.h>

#define VALID(text) ck_assert_msg(text_valid(text, sizeof(text) - 1), "refused: %s", #text)
#define NOT(text)   ck_assert_msg(!text_valid(text, sizeof(text) - 1), "let through: %s", #text)

START_TEST(text_is_what_can_be_shown) {
    VALID("");
    VALID(" plain ASCII ~");
    VALID("caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\xa6\x86");
    VALID("\xc2\xa0\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xf0\x90\x80\x80\xf4\x8f\xbf\xbf");
}
END_TEST

START_TEST(control_characters_are_none_of_it) {
    for (int c = 0; c < 0x20; c++) {
        char text[] = {'a', (char)c, 'b'};
        ck_assert_msg(!text_valid(text, sizeof text), "control character %d", c);
    }
    NOT("\x7f");
    NOT("\xc2\x80");
    NOT("\xc2\x9f");
}
END_TEST

START_TEST(bytes_that_are_no_characters_are_none_of_it) {
    NOT("\x80");
    NOT("\xc0\xaf");         /* overlong, two bytes */
    NOT("\xe0\x80\xaf");     /* three */
    NOT("\xf0\x80\x80\xaf"); /* four */
    NOT("\xed\xa0\x80");     /* half of a pair */
    NOT("\xf4\x90\x80\x80"); /* beyond U+10FFFF */
    NOT("\xf5\x80\x80\x80");
    NOT("\xff");
    NOT("a\xe2\x82");     /* cut short */
    NOT("\xe2\x82 \x82"); /* and interrupted */
}
END_TEST

/* Against the definition, decoded and encoded again. */
START_TEST(of_all_three_bytes_exactly_the_characters_pass) {
    size_t found[5] = {0};
    for (uint32_t bytes = 0; bytes < 1u << 24; bytes++) {
        char text[] = {(char)(bytes >> 16), (char)(bytes >> 8), (char)bytes};
        found[utf8_length(text, 3)]++;
    }
    ck_assert_uint_eq(found[1], 0x80u << 16);
    ck_assert_uint_eq(found[2], 0x780u << 8);            /* U+0080 to U+07FF */
    ck_assert_uint_eq(found[3], 0x10000 - 0x800 - 2048); /* to U+FFFF, without surrogates */
    ck_assert_uint_eq(found[4], 0);
}
END_TEST

START_TEST(a_length_is_allowed_to_the_byte) {
    static char text[TEXT_MOST_BYTES + 1];
    memset(text, 'x', sizeof text);
    for (int which = 0; which < CLIENT_TEXT_COUNT; which++) {
        if (which == TEXT_METADATA_NAME) continue;
        ck_assert_ptr_null(text_flaw((enum client_text)which, text, TEXT_MOST_BYTES));
        ck_assert_ptr_nonnull(text_flaw((enum client_text)which, text, TEXT_MOST_BYTES + 1));
        ck_assert_ptr_null(text_flaw((enum client_text)which, "", 0));
    }
    ck_assert_ptr_null(text_flaw(TEXT_METADATA_NAME, text, TEXT_NAME_MOST_BYTES));
    ck_assert_ptr_nonnull(text_flaw(TEXT_METADATA_NAME, text, TEXT_NAME_MOST_BYTES + 1));
    ck_assert_ptr_nonnull(text_flaw(TEXT_METADATA_NAME, "", 0));
}
END_TEST

START_TEST(a_name_of_metadata_is_made_of_letters_digits_and_dashes) {
    ck_assert_ptr_null(text_flaw(TEXT_METADATA_NAME, "Page-7", 6));
    static const char *const names[] = {"a_b", "a b", "a.b", "caf\xc3\xa9", "[", "`", "a\n"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        ck_assert_msg(text_flaw(TEXT_METADATA_NAME, names[i], strlen(names[i])) != NULL, "%s",
                      names[i]);
}
END_TEST

START_TEST(what_is_wrong_is_said_by_the_texts_name) {
    ck_assert_str_eq(text_flaw(TEXT_TENANT, "a\nb", 3),
                     "the tenant has control characters; allowed: at most 1024 bytes of UTF-8 "
                     "without control characters");
    ck_assert_ptr_nonnull(
        strstr(text_flaw(TEXT_BATCH_KEY, "\xff", 1), "the batch key is not UTF-8"));
    ck_assert_ptr_nonnull(strstr(text_flaw(TEXT_OPERATION, "a\0b", 3), "control characters"));
}
END_TEST

SUITE("gateway/text_rules", 30, text_is_what_can_be_shown, control_characters_are_none_of_it,
      bytes_that_are_no_characters_are_none_of_it, of_all_three_bytes_exactly_the_characters_pass,
      a_length_is_allowed_to_the_byte, a_name_of_metadata_is_made_of_letters_digits_and_dashes,
      what_is_wrong_is_said_by_the_texts_name)
