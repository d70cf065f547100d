/* embed, as the gateway sees it: the built plug-in in front of a fake host. */
#include "tests/support/fake_host.h"
#include "tests/support/suite.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define JSON       "application/json"
#define DIMENSIONS 384

static struct plugin embed;
static float vectors[2][4096];

/* ---- arranging and reading ---- */

static void load_embed(void) {
    embed = plugin_loaded("embed", NULL, NULL);
}

static json_t *answer_json(struct answer answer) {
    ck_assert_msg(answer.kind == ANSWER_WHOLE, "%s", answer.message);
    ck_assert_str_eq(answer.content_type, JSON);
    json_t *json = json_loadb(answer.bytes, answer.size, JSON_REJECT_DUPLICATES, NULL);
    ck_assert_ptr_nonnull(json);
    answer_free(&answer);
    return json;
}

static json_t *ask(const char *content_type, const char *body) {
    return answer_json(plugin_ask_text(&embed, content_type, "", body));
}

static const json_t *item_of(const json_t *list, size_t index) {
    const json_t *item = json_array_get(json_object_get(list, "data"), index);
    ck_assert_str_eq(json_string_value(json_object_get(item, "object")), "embedding");
    ck_assert_int_eq(json_integer_value(json_object_get(item, "index")), (json_int_t)index);
    return json_object_get(item, "embedding");
}

static size_t vector_of(const json_t *list, size_t index, float *out) {
    const json_t *numbers = item_of(list, index);
    size_t dimensions = json_array_size(numbers);
    for (size_t i = 0; i < dimensions; i++)
        out[i] = (float)json_number_value(json_array_get(numbers, i));
    return dimensions;
}

static void embed_text(const char *text, float *out) {
    json_t *list = ask("text/plain", text);
    ck_assert_uint_eq(vector_of(list, 0, out), DIMENSIONS);
    json_decref(list);
}

static double product(const float *left, const float *right, size_t dimensions) {
    double sum = 0;
    for (size_t i = 0; i < dimensions; i++) sum += (double)left[i] * (double)right[i];
    return sum;
}

static double similarity(const char *left, const char *right) {
    embed_text(left, vectors[0]);
    embed_text(right, vectors[1]);
    return product(vectors[0], vectors[1], DIMENSIONS);
}

static bool are_the_same_text(const char *left, const char *right) {
    similarity(left, right);
    for (size_t i = 0; i < DIMENSIONS; i++)
        if (vectors[0][i] != vectors[1][i]) return false;
    return true;
}

static void is_invalid(const char *body, const char *words) {
    answer_is_error(plugin_ask_text(&embed, JSON, "", body), POOLGATE_INVALID_INPUT, words);
}

static size_t tokens_of(const json_t *list) {
    const json_t *usage = json_object_get(list, "usage");
    json_int_t tokens = json_integer_value(json_object_get(usage, "prompt_tokens"));
    ck_assert_int_eq(json_integer_value(json_object_get(usage, "total_tokens")), tokens);
    return (size_t)tokens;
}

/* {"input":[text, …]} with so many texts; the caller's to free. */
static char *many_inputs(size_t count, const char *text) {
    char *body;
    size_t bytes;
    FILE *out = open_memstream(&body, &bytes);
    fputs("{\"input\":[", out);
    for (size_t i = 0; i < count; i++) fprintf(out, "%s\"%s\"", i == 0 ? "" : ",", text);
    fputs("]}", out);
    fclose(out);
    return body;
}

static struct poolgate_request request_of(const char *content_type, const char *operation,
                                          const char *body) {
    return (struct poolgate_request){.content_type = content_type,
                                     .operation = operation,
                                     .body = body,
                                     .body_bytes = strlen(body)};
}

/* ---- vectors ---- */

START_TEST(a_vector_has_the_configured_length_and_norm_one) {
    load_embed();
    const char *texts[] = {"a",
                           "Poolgate",
                           "The same word, the same word, the same word.",
                           "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich",
                           "Съешь же ещё этих мягких французских булок",
                           "排队的人都在等",
                           "👋🌍"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        embed_text(texts[i], vectors[0]);
        ck_assert_double_eq_tol(product(vectors[0], vectors[0], DIMENSIONS), 1, 1e-6);
    }
    plugin_close(&embed);
}
END_TEST

/* If this fails, every vector that anyone has stored is worthless: change the model's name. */
START_TEST(a_known_text_gives_the_known_vector) {
    static const struct {
        size_t dimension;
        float value;
    } known[] = {
        {0, 0},
        {9, 0.117783017f},
        {14, 0.117783017f},
        {19, -0.294457555f},
        {24, 0.117783017f},
        {72, -0.117783017f},
        {86, 0.117783017f},
    };
    load_embed();
    embed_text("A queue is a promise.", vectors[0]);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        ck_assert_msg(vectors[0][known[i].dimension] == known[i].value, "[%zu]: %.9g, not %.9g",
                      known[i].dimension, (double)vectors[0][known[i].dimension],
                      (double)known[i].value);
    plugin_close(&embed);
}
END_TEST

START_TEST(the_same_text_gives_the_same_bytes_in_any_slot) {
    const char *body = "{\"input\":[\"waiting is work\",\"work is waiting\",\"waiting is work\"]}";
    load_embed();
    struct answer first = plugin_ask_text(&embed, JSON, "", body);
    plugin_close(&embed);
    load_embed();
    struct answer second = plugin_ask_text(&embed, JSON, "", body);
    ck_assert_uint_eq(first.size, second.size);
    ck_assert_mem_eq(first.bytes, second.bytes, first.size);

    json_t *list = answer_json(first);
    vector_of(list, 0, vectors[0]);
    vector_of(list, 2, vectors[1]);
    ck_assert_mem_eq(vectors[0], vectors[1], DIMENSIONS * sizeof(float));
    vector_of(list, 1, vectors[1]);
    ck_assert_mem_ne(vectors[0], vectors[1], DIMENSIONS * sizeof(float)); /* order counts */
    json_decref(list);
    answer_free(&second);
    plugin_close(&embed);
}
END_TEST

START_TEST(related_sentences_are_closer_than_unrelated_ones) {
    static const struct {
        const char *text, *related, *unrelated;
    } cases[] = {
        {"How do I reset my password?", "I forgot my password, how can it be reset?",
         "The train to the coast leaves at nine."},
        {"The worker crashed while loading the model.", "Workers crash when a model is loaded.",
         "Fresh bread smells best in the morning."},
        {"Der Vertrag wurde gekündigt.", "Kündigung des Vertrages",
         "Heute Abend gibt es Suppe mit Brot."},
        {"Очередь движется медленно", "медленная очередь", "Завтра будет дождь"},
        {"队列很长", "很长的队列", "今天天气好"},
    };
    load_embed();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        double related = similarity(cases[i].text, cases[i].related);
        double unrelated = similarity(cases[i].text, cases[i].unrelated);
        ck_assert_msg(related > unrelated + 0.1, "%s: %g and %g", cases[i].text, related,
                      unrelated);
    }
    plugin_close(&embed);
}
END_TEST

START_TEST(a_misspelt_word_stays_close) {
    load_embed();
    ck_assert_double_gt(similarity("authentication", "authentification"), 0.3);
    ck_assert_double_lt(similarity("authentication", "marmalade"), 0.2);
    plugin_close(&embed);
}
END_TEST

/* By counts alone, a word that stands eight times would leave nothing of the one beside it. */
START_TEST(a_repeated_word_weighs_less_each_time) {
    load_embed();
    double twice = similarity("queue", "gate gate queue");
    double often = similarity("queue", "gate gate gate gate gate gate gate gate queue");
    ck_assert_double_gt(twice, often);
    ck_assert_double_gt(often, 0.25);
    plugin_close(&embed);
}
END_TEST

/* ---- UTF-8 ---- */

START_TEST(capitals_and_small_letters_are_the_same_text) {
    static const char *const pairs[][2] = {
        {"QUEUE", "queue"},       {"ÄÖÜ ÀÉÎÞ", "äöü àéîþ"}, {"ŁÓDŹ ŻÓŁĆ ŸŒ", "łódź żółć ÿœ"},
        {"ŠKODA ĈU", "škoda ĉu"}, {"ΚΌΣΜΟΣ", "κόσμος"},     {"ЁЖ ЇЖАК ЉУБАВ", "ёж їжак љубав"},
        {"ſun", "Sun"},
    };
    load_embed();
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        ck_assert_msg(are_the_same_text(pairs[i][0], pairs[i][1]), "%s", pairs[i][0]);
    }
    similarity("é", "e");
    ck_assert_mem_ne(vectors[0], vectors[1], DIMENSIONS * sizeof(float)); /* an accent counts */
    plugin_close(&embed);
}
END_TEST

START_TEST(spaces_and_punctuation_only_separate) {
    load_embed();
    similarity("one, two - three", " \t«one»\u00a0two… three!\n\ufeff");
    ck_assert_mem_eq(vectors[0], vectors[1], DIMENSIONS * sizeof(float));
    plugin_close(&embed);
}
END_TEST

START_TEST(han_and_kana_are_words_by_themselves) {
    load_embed();
    similarity("队列queue列かな", "队 列 queue 列 か な");
    ck_assert_mem_eq(vectors[0], vectors[1], DIMENSIONS * sizeof(float));
    plugin_close(&embed);
}
END_TEST

START_TEST(a_character_that_ends_beyond_the_body_is_refused) {
    load_embed();
    for (size_t kept = 1; kept < 4; kept++)
        answer_is_error(plugin_ask(&embed, "", "", "\xf0\x9f\x91\x8b", kept),
                        POOLGATE_INVALID_INPUT, "not valid UTF-8");
    plugin_close(&embed);
}
END_TEST

START_TEST(bytes_that_are_not_utf8_are_refused) {
    static const char *const bad[] = {
        "\x80",         "a\xff",        "\xc0\xaf",         "\xc1\x81",
        "\xe0\x80\xaf", "\xed\xa0\x80", "\xf0\x80\x80\xaf", "\xf4\x90\x80\x80",
        "\xf8\x88\x80", "caf\xc3",      "\xe2\x82",         "\xf0\x9f\x91",
        "\xc3\x28",     "\xe2\x28\xa1", "\xe2\x82\x28",     "latin-1: caf\xe9 noir",
    };
    load_embed();
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        answer_is_error(plugin_ask_text(&embed, "text/plain", "", bad[i]), POOLGATE_INVALID_INPUT,
                        "input: not valid UTF-8");
        char body[64];
        snprintf(body, sizeof body, "{\"input\":\"%s\"}", bad[i]);
        is_invalid(body, "JSON: line 1");
    }
    plugin_close(&embed);
}
END_TEST

/* ---- what may be asked ---- */

START_TEST(text_and_json_give_the_same_vector) {
    static const char *const types[] = {JSON, "Application/JSON; charset=UTF-8",
                                        "application/json;charset=\"utf-8\""};
    load_embed();
    embed_text("the same", vectors[0]);
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        json_t *list = ask(types[i], "{\"input\":\"the same\"}");
        vector_of(list, 0, vectors[1]);
        ck_assert_mem_eq(vectors[0], vectors[1], DIMENSIONS * sizeof(float));
        json_decref(list);
    }
    json_t *untyped = ask("", "the same");
    vector_of(untyped, 0, vectors[1]);
    ck_assert_mem_eq(vectors[0], vectors[1], DIMENSIONS * sizeof(float));
    json_decref(untyped);
    plugin_close(&embed);
}
END_TEST

START_TEST(the_answer_names_the_model_and_counts_words) {
    load_embed();
    json_t *list =
        ask(JSON, "{\"input\":[\"one two\",\"three\"],\"model\":\"any\",\"user\":\"u\"}");
    ck_assert_str_eq(json_string_value(json_object_get(list, "object")), "list");
    ck_assert_str_eq(json_string_value(json_object_get(list, "model")), "poolgate-lexical-384");
    ck_assert_uint_eq(json_array_size(json_object_get(list, "data")), 2);
    ck_assert_uint_eq(tokens_of(list), 3);
    json_decref(list);
    plugin_close(&embed);
}
END_TEST

START_TEST(fewer_dimensions_can_be_asked_for) {
    load_embed();
    json_t *list = ask(JSON, "{\"input\":\"fewer dimensions\",\"dimensions\":64}");
    ck_assert_uint_eq(vector_of(list, 0, vectors[0]), 64);
    ck_assert_double_eq_tol(product(vectors[0], vectors[0], 64), 1, 1e-6);
    json_decref(list);
    is_invalid("{\"input\":\"a\",\"dimensions\":385}", "a whole number from 8 to 384");
    is_invalid("{\"input\":\"a\",\"dimensions\":7}", "dimensions");
    is_invalid("{\"input\":\"a\",\"dimensions\":-8}", "dimensions");
    is_invalid("{\"input\":\"a\",\"dimensions\":64.5}", "dimensions");
    is_invalid("{\"input\":\"a\",\"dimensions\":\"64\"}", "dimensions");
    plugin_close(&embed);
}
END_TEST

/* Six bits a letter, most significant first. */
static size_t decode_base64(const char *text, unsigned char *out) {
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t size = 0;
    uint32_t bits = 0, bits_count = 0;
    for (; *text != '\0' && *text != '='; text++) {
        const char *letter = strchr(letters, *text);
        ck_assert_ptr_nonnull(letter);
        bits = bits << 6 | (uint32_t)(letter - letters);
        bits_count += 6;
        if (bits_count >= 8) out[size++] = (unsigned char)(bits >> (bits_count -= 8));
    }
    return size;
}

START_TEST(base64_and_numbers_are_the_same_floats) {
    load_embed();
    for (int dimensions = 382; dimensions <= 384; dimensions++) { /* with and without padding */
        static const char form[] =
            "{\"input\":\"exactly so\",\"dimensions\":%d,\"encoding_format\":\"%s\"}";
        char body[128];
        snprintf(body, sizeof body, form, dimensions, "float");
        json_t *numbers = ask(JSON, body);
        vector_of(numbers, 0, vectors[0]);
        snprintf(body, sizeof body, form, dimensions, "base64");
        json_t *base64 = ask(JSON, body);
        const char *text = json_string_value(item_of(base64, 0));
        ck_assert_uint_eq(strlen(text) % 4, 0);
        ck_assert_uint_eq(decode_base64(text, (unsigned char *)vectors[1]),
                          (size_t)dimensions * sizeof(float));
        ck_assert_mem_eq(vectors[0], vectors[1], (size_t)dimensions * sizeof(float));
        json_decref(numbers);
        json_decref(base64);
    }
    is_invalid("{\"input\":\"a\",\"encoding_format\":\"hex\"}", "allowed: float, base64");
    is_invalid("{\"input\":\"a\",\"encoding_format\":1}", "allowed: float, base64");
    plugin_close(&embed);
}
END_TEST

START_TEST(an_empty_text_is_refused_by_its_index) {
    load_embed();
    answer_is_error(plugin_ask_text(&embed, "text/plain", "", ""), POOLGATE_INVALID_INPUT,
                    "input: empty");
    answer_is_error(plugin_ask(&embed, "", "", NULL, 0), POOLGATE_INVALID_INPUT, "input: empty");
    answer_is_error(plugin_ask_text(&embed, "", "", " \n\t"), POOLGATE_INVALID_INPUT,
                    "input: empty");
    is_invalid("{\"input\":\"\"}", "input: empty");
    is_invalid("{\"input\":[\"a\",\"b\",\" ... \"]}", "input[2]: empty");
    plugin_close(&embed);
}
END_TEST

START_TEST(json_that_is_no_question_is_refused_with_a_reason) {
    static const struct {
        const char *body, *words;
    } bad[] = {
        {"", "JSON: "},
        {"{", "JSON: line 1"},
        {"null", "JSON: "},
        {"[\"a\"]", "JSON: not an object"},
        {"{}", "input: missing"},
        {"{\"input\":1}", "input: neither"},
        {"{\"input\":null}", "input: neither"},
        {"{\"input\":{\"text\":\"a\"}}", "input: neither"},
        {"{\"input\":[]}", "input: an empty list"},
        {"{\"input\":[\"a\",1]}", "input[1]: not a text"},
        {"{\"input\":[[\"a\"]]}", "input[0]: not a text"},
        {"{\"input\":\"a\",\"input\":\"b\"}", "JSON: line 1"},
        {"{\"input\":\"a\"} trailing", "JSON: line 1"},
        {"{\"input\":\"a\\u0000b\"}", "JSON: line 1"},
        {"{\"input\":\"\\ud800\"}", "JSON: line 1"},
        {"{\"input\":\"a\",\"model\":7}", "model: not a text"},
        {"{\"input\":\"a\",\"user\":[]}", "user: not a text"},
        {"{\"input\":\"a\",\"dimension\":64}", "not known; allowed: input, model"},
        {"{\"input\":[[[[[\"a\"]]]]]}", "too deep"},
    };
    load_embed();
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) is_invalid(bad[i].body, bad[i].words);
    plugin_close(&embed);
}
END_TEST

START_TEST(brackets_and_commas_inside_a_text_are_only_text) {
    load_embed();
    char *body = many_inputs(1, "[{,: \\\"a [{,: \\\\ b [[[[[[[[[[");
    json_t *list = ask(JSON, body);
    ck_assert_uint_eq(tokens_of(list), 2);
    json_decref(list);
    free(body);
    plugin_close(&embed);
}
END_TEST

START_TEST(at_most_2048_texts_are_taken) {
    load_embed();
    char *most = many_inputs(2048, "w"), *more = many_inputs(2049, "w");
    char *many = many_inputs(100000, "w");
    json_t *list = ask(JSON, most);
    ck_assert_uint_eq(json_array_size(json_object_get(list, "data")), 2048);
    ck_assert_uint_eq(tokens_of(list), 2048);
    is_invalid(more, "input: 2049 texts; allowed: 1 to 2048 texts");
    is_invalid(many, "too many values");
    json_decref(list);
    free(most);
    free(more);
    free(many);
    plugin_close(&embed);
}
END_TEST

/* All different three-letter words and more: hardly a feature occurs twice. */
START_TEST(a_text_may_have_a_mebibyte_and_no_more) {
    size_t bytes = (size_t)1 << 20;
    char *text = malloc(bytes + 1);
    uint32_t random = 1;
    for (size_t i = 0; i <= bytes; i++) {
        random = random * 1664525 + 1013904223;
        text[i] = random >> 24 < 50 ? ' ' : (char)('a' + (random >> 24) % 26);
    }
    load_embed();
    json_t *list = answer_json(plugin_ask(&embed, "text/plain", "", text, bytes));
    vector_of(list, 0, vectors[0]);
    ck_assert_double_eq_tol(product(vectors[0], vectors[0], DIMENSIONS), 1, 1e-6);
    answer_is_error(plugin_ask(&embed, "text/plain", "", text, bytes + 1), POOLGATE_INVALID_INPUT,
                    "longer than 1 MiB");
    json_decref(list);
    free(text);
    plugin_close(&embed);
}
END_TEST

START_TEST(what_is_not_text_in_utf8_is_unsupported) {
    static const char *const types[] = {"image/png",
                                        "application/jsonp",
                                        "text/html",
                                        "json",
                                        "text/plain; charset=iso-8859-1",
                                        "application/json; charset=utf-16"};
    load_embed();
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        answer_is_error(plugin_ask_text(&embed, types[i], "", "{\"input\":\"a\"}"),
                        POOLGATE_UNSUPPORTED, "allowed: application/json, text/plain");
    answer_is_error(plugin_ask_text(&embed, JSON, "tsv", "{\"input\":\"a\"}"), POOLGATE_UNSUPPORTED,
                    "operation");
    plugin_close(&embed);
}
END_TEST

START_TEST(a_cancelled_request_stops_between_two_texts) {
    load_embed();
    char *body = many_inputs(100, "waiting");
    struct answer answer = plugin_ask_until(&embed, JSON, "", body, strlen(body), 3);
    ck_assert_int_eq(answer.asks, 4);
    answer_is_error(answer, POOLGATE_FAILED, "cancelled");
    free(body);
    plugin_close(&embed);
}
END_TEST

/* ---- life ---- */

START_TEST(the_dimensions_can_be_configured) {
    embed = plugin_loaded("embed", "dimensions", "8");
    json_t *list = ask("text/plain", "few dimensions");
    ck_assert_uint_eq(vector_of(list, 0, vectors[0]), 8);
    ck_assert_str_eq(json_string_value(json_object_get(list, "model")), "poolgate-lexical-8");
    json_decref(list);
    plugin_close(&embed);
    embed = plugin_loaded("embed", "dimensions", "4096");
    list = ask("text/plain", "many dimensions");
    ck_assert_uint_eq(vector_of(list, 0, vectors[0]), 4096);
    json_decref(list);
    plugin_close(&embed);
}
END_TEST

START_TEST(a_bad_argument_is_a_load_error_that_says_what_is_allowed) {
    static const char *const bad[] = {
        "", "7", "4097", "-8", " 8", "8 ", "384.0", "many", "99999999999999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        plugin_refuses_argument("embed", "dimensions", bad[i],
                                "dimensions: not allowed; allowed: a whole number from 8 to 4096");
    plugin_refuses_argument("embed", "dimension", "8", "no such argument; allowed: dimensions");
}
END_TEST

START_TEST(a_sound_slot_passes_its_check) {
    static const char *const sizes[] = {"8", "384", "4096"};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        embed = plugin_loaded("embed", "dimensions", sizes[i]);
        ck_assert_msg(embed.worker->check(embed.state, embed.error) == 0, "%s", embed.error);
        plugin_close(&embed);
    }
}
END_TEST

/* ---- batches ---- */

START_TEST(a_batch_gives_each_request_the_answer_that_it_gets_alone) {
    enum { COUNT = 6 };
    const struct poolgate_request requests[COUNT] = {
        request_of("text/plain", "", "waiting is work"),
        request_of(JSON, "", "{\"input\":[\"work is waiting\",\"waiting is work\"]}"),
        request_of("text/plain", "dance", "waiting is work"),
        request_of(JSON, "", "{\"input\":\"waiting is work\",\"dimensions\":64}"),
        request_of(JSON, "", "{\"input\":"),
        request_of(JSON, "", "{\"input\":\"waiting is work\",\"encoding_format\":\"base64\"}"),
    };
    struct answer answers[COUNT];
    load_embed();
    plugin_ask_batch(&embed, requests, answers, COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        struct answer alone = plugin_ask_text(&embed, requests[i].content_type,
                                              requests[i].operation, requests[i].body);
        ck_assert_str_eq(answers[i].meta_name, "Batch");
        ck_assert_str_eq(answers[i].meta_value, "6");
        ck_assert_int_eq(answers[i].kind, alone.kind);
        ck_assert_str_eq(answers[i].message, alone.message);
        ck_assert_uint_eq(answers[i].size, alone.size);
        if (alone.size > 0) ck_assert_mem_eq(answers[i].bytes, alone.bytes, alone.size);
        answer_free(&alone);
        answer_free(&answers[i]);
    }
    plugin_close(&embed);
}
END_TEST

START_TEST(a_batch_of_one_says_so) {
    struct poolgate_request request = request_of("text/plain", "", "alone");
    struct answer answer;
    load_embed();
    plugin_ask_batch(&embed, &request, &answer, 1);
    ck_assert_str_eq(answer.meta_value, "1");
    json_decref(answer_json(answer));
    plugin_close(&embed);
}
END_TEST

START_TEST(a_check_between_two_requests_changes_nothing) {
    load_embed();
    embed_text("before and after", vectors[0]);
    ck_assert_int_eq(embed.worker->check(embed.state, embed.error), 0);
    embed_text("before and after", vectors[1]);
    ck_assert_mem_eq(vectors[0], vectors[1], DIMENSIONS * sizeof(float));
    plugin_close(&embed);
}
END_TEST

SUITE("workers/embed", 60, a_vector_has_the_configured_length_and_norm_one,
      a_known_text_gives_the_known_vector, the_same_text_gives_the_same_bytes_in_any_slot,
      related_sentences_are_closer_than_unrelated_ones, a_misspelt_word_stays_close,
      a_repeated_word_weighs_less_each_time, capitals_and_small_letters_are_the_same_text,
      spaces_and_punctuation_only_separate, han_and_kana_are_words_by_themselves,
      a_character_that_ends_beyond_the_body_is_refused, bytes_that_are_not_utf8_are_refused,
      text_and_json_give_the_same_vector, the_answer_names_the_model_and_counts_words,
      fewer_dimensions_can_be_asked_for, base64_and_numbers_are_the_same_floats,
      an_empty_text_is_refused_by_its_index, json_that_is_no_question_is_refused_with_a_reason,
      brackets_and_commas_inside_a_text_are_only_text, at_most_2048_texts_are_taken,
      a_text_may_have_a_mebibyte_and_no_more, what_is_not_text_in_utf8_is_unsupported,
      a_cancelled_request_stops_between_two_texts, the_dimensions_can_be_configured,
      a_bad_argument_is_a_load_error_that_says_what_is_allowed, a_sound_slot_passes_its_check,
      a_batch_gives_each_request_the_answer_that_it_gets_alone, a_batch_of_one_says_so,
      a_check_between_two_requests_changes_nothing)
