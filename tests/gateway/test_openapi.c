#include "core/base/outcome.h"
#include "core/policy/worker_state.h"
#include "gateway/http/openapi.h"
#include "gateway/http/routes.h"
#include "tests/support/suite.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <yaml.h>

static yaml_document_t document;

static void read_document(void) {
    yaml_parser_t parser;
    ck_assert_int_eq(yaml_parser_initialize(&parser), 1);
    yaml_parser_set_input_string(&parser, (const unsigned char *)openapi_text, openapi_bytes());
    ck_assert_msg(yaml_parser_load(&parser, &document) == 1, "line %zu: %s",
                  parser.problem_mark.line + 1, parser.problem);
    yaml_parser_delete(&parser);
}

static const char *text_of(yaml_node_t *node) {
    return node != NULL && node->type == YAML_SCALAR_NODE ? (const char *)node->data.scalar.value
                                                          : "";
}

static yaml_node_t *member(yaml_node_t *node, const char *key) {
    if (node == NULL || node->type != YAML_MAPPING_NODE) return NULL;
    for (yaml_node_pair_t *pair = node->data.mapping.pairs.start;
         pair < node->data.mapping.pairs.top; pair++)
        if (strcmp(text_of(yaml_document_get_node(&document, pair->key)), key) == 0)
            return yaml_document_get_node(&document, pair->value);
    return NULL;
}

/* Walks down the keys, which end with NULL. */
static yaml_node_t *find(const char *key, ...) {
    yaml_node_t *node = yaml_document_get_root_node(&document);
    va_list keys;
    va_start(keys, key);
    for (; key != NULL; key = va_arg(keys, const char *)) node = member(node, key);
    va_end(keys);
    return node;
}

static bool has_item(yaml_node_t *list, const char *text) {
    ck_assert(list != NULL && list->type == YAML_SEQUENCE_NODE);
    for (yaml_node_item_t *item = list->data.sequence.items.start;
         item < list->data.sequence.items.top; item++)
        if (strcmp(text_of(yaml_document_get_node(&document, *item)), text) == 0) return true;
    return false;
}

static size_t items(const yaml_node_t *list) {
    return (size_t)(list->data.sequence.items.top - list->data.sequence.items.start);
}

static bool in_table(const char *method, const char *path) {
    for (size_t i = 0; i < routes_count; i++)
        if (strcasecmp(routes[i].method, method) == 0 && strcmp(routes[i].path, path) == 0)
            return true;
    return false;
}

START_TEST(every_route_is_in_the_document) {
    read_document();
    for (size_t i = 0; i < routes_count; i++) {
        char method[16] = "";
        for (size_t at = 0; routes[i].method[at] != '\0'; at++)
            method[at] = (char)tolower((unsigned char)routes[i].method[at]);
        ck_assert_msg(find("paths", routes[i].path, method, NULL) != NULL, "%s %s",
                      routes[i].method, routes[i].path);
    }
    yaml_document_delete(&document);
}
END_TEST

START_TEST(every_operation_of_the_document_is_a_route) {
    read_document();
    const yaml_node_t *paths = find("paths", NULL);
    size_t operations = 0;
    for (yaml_node_pair_t *path = paths->data.mapping.pairs.start;
         path < paths->data.mapping.pairs.top; path++) {
        const char *name = text_of(yaml_document_get_node(&document, path->key));
        const yaml_node_t *item = yaml_document_get_node(&document, path->value);
        for (yaml_node_pair_t *pair = item->data.mapping.pairs.start;
             pair < item->data.mapping.pairs.top; pair++) {
            const char *key = text_of(yaml_document_get_node(&document, pair->key));
            if (strcmp(key, "parameters") == 0) continue;
            ck_assert_msg(in_table(key, name), "%s %s", key, name);
            operations++;
        }
    }
    ck_assert_uint_eq(operations, routes_count);
    yaml_document_delete(&document);
}
END_TEST

START_TEST(the_codes_are_the_programs) {
    read_document();
    yaml_node_t *codes = find("components", "schemas", "Code", "enum", NULL);
    for (int outcome = 0; outcome < OUTCOME_COUNT; outcome++) {
        if (outcome == OK) continue;
        const char *code = outcome_code((enum outcome)outcome);
        ck_assert_msg(has_item(codes, code), "%s", code);
    }
    ck_assert_uint_eq(items(codes), OUTCOME_COUNT - 1);
    yaml_document_delete(&document);
}
END_TEST

START_TEST(the_states_and_reasons_are_the_programs) {
    read_document();
    yaml_node_t *states = find("components", "schemas", "SlotState", "enum", NULL);
    yaml_node_t *by_state = find("components", "schemas", "SlotsByState", "required", NULL);
    yaml_node_t *reasons = find("components", "schemas", "Reason", "enum", NULL);
    for (int state = 0; state < WORKER_STATE_COUNT; state++) {
        const char *name = worker_state_name((enum worker_state)state);
        ck_assert_msg(has_item(states, name) && has_item(by_state, name), "%s", name);
    }
    for (int reason = 0; reason < REASON_COUNT; reason++)
        ck_assert_msg(has_item(reasons, reason_name((enum reason)reason)), "%s",
                      reason_name((enum reason)reason));
    ck_assert_uint_eq(items(states), WORKER_STATE_COUNT);
    ck_assert_uint_eq(items(reasons), REASON_COUNT);
    yaml_document_delete(&document);
}
END_TEST

START_TEST(the_version_is_the_programs) {
    read_document();
    ck_assert_str_eq(text_of(find("info", "version", NULL)), POOLGATE_VERSION);
    ck_assert_str_eq(text_of(find("openapi", NULL)), "3.1.0");
    yaml_document_delete(&document);
}
END_TEST

START_TEST(the_built_in_text_is_the_file) {
    FILE *file = fopen(TEST_SOURCE_FOLDER "/openapi.yaml", "re");
    ck_assert_ptr_nonnull(file);
    for (size_t i = 0; i < openapi_bytes(); i++)
        ck_assert_msg(fgetc(file) == (unsigned char)openapi_text[i], "byte %zu", i);
    ck_assert_int_eq(fgetc(file), EOF);
    ck_assert_int_eq(openapi_text[openapi_bytes()], '\0');
    fclose(file);
}
END_TEST

START_TEST(a_tag_matches_by_name_in_a_list_or_by_star) {
    static const struct {
        const char *field;
        bool matches;
    } rows[] = {
        {NULL, false},           {"", false},           {" , ", false},
        {"\"a1\"", true},        {"*", true},           {"W/\"a1\"", true},
        {"\"b\", \"a1\"", true}, {"\"b\"", false},      {"\"a\"", false},
        {"\"a12\"", false},      {"a1", false},         {"\"a1", false},
        {"\"b, \"a1\"", false},  {"W/\"b\" , *", true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        ck_assert_msg(openapi_tag_matches(rows[i].field, "\"a1\"") == rows[i].matches, "%s",
                      rows[i].field == NULL ? "NULL" : rows[i].field);
}
END_TEST

SUITE("gateway/http/openapi", 5, every_route_is_in_the_document,
      every_operation_of_the_document_is_a_route, the_codes_are_the_programs,
      the_states_and_reasons_are_the_programs, the_version_is_the_programs,
      the_built_in_text_is_the_file, a_tag_matches_by_name_in_a_list_or_by_star)
