#include "gateway/config/document.h"

#include <stdio.h>
#include <string.h>

struct loader {
    yaml_parser_t parser;
    struct report *report;
    const struct origin *origin;
    const char *prefix, *path;
    const char *text;
    size_t bytes;
};

static struct origin at_line(const struct origin *origin, size_t line_index) {
    struct origin at = *origin;
    if (at.layer == LAYER_FILE) at.line = line_index + 1;
    return at;
}

/* The reader knows the offset of a byte that is no UTF-8, the scanner and the parser a mark. */
static size_t problem_line(const struct loader *loader) {
    if (loader->parser.error != YAML_READER_ERROR) return loader->parser.problem_mark.line;
    size_t line = 0;
    for (size_t i = 0; i < loader->bytes && i < loader->parser.problem_offset; i++)
        line += loader->text[i] == '\n';
    return line;
}

static enum outcome explain(const struct loader *loader) {
    const yaml_parser_t *parser = &loader->parser;
    if (parser->error == YAML_MEMORY_ERROR) return MEMORY_EXHAUSTED;
    struct origin origin = at_line(loader->origin, problem_line(loader));
    report_mistake(loader->report, &origin, loader->prefix, loader->path,
                   "%s%s%s, allowed is well-formed YAML in UTF-8",
                   parser->problem != NULL ? parser->problem : "cannot be read",
                   parser->context != NULL ? " " : "",
                   parser->context != NULL ? parser->context : "");
    return INVALID_REQUEST;
}

/* After the document that was taken nothing but the end may come. */
static enum outcome expect_end(struct loader *loader) {
    yaml_document_t next;
    if (!yaml_parser_load(&loader->parser, &next)) return explain(loader);
    const yaml_node_t *root = yaml_document_get_root_node(&next);
    bool end = root == NULL;
    if (!end) {
        struct origin origin = at_line(loader->origin, next.start_mark.line);
        report_mistake(loader->report, &origin, loader->prefix, loader->path,
                       "has a second document, allowed is one");
    }
    yaml_document_delete(&next);
    return end ? OK : INVALID_REQUEST;
}

enum outcome document_open(struct document *document, struct report *report,
                           const struct origin *origin, const char *prefix, const char *path,
                           const char *text, size_t bytes) {
    struct loader loader = {.report = report,
                            .origin = origin,
                            .prefix = prefix,
                            .path = path,
                            .text = text,
                            .bytes = bytes};
    memset(document, 0, sizeof *document);
    document->origin = *origin;
    if (!yaml_parser_initialize(&loader.parser)) return MEMORY_EXHAUSTED;
    yaml_parser_set_encoding(&loader.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&loader.parser, (const unsigned char *)text, bytes);

    enum outcome outcome = OK;
    bool loaded = yaml_parser_load(&loader.parser, &document->yaml) == 1;
    bool empty = loaded && document_root(document) == NULL;
    if (!loaded)
        outcome = explain(&loader);
    else if (!empty)
        outcome = expect_end(&loader);
    if (loaded && (empty || outcome != OK)) yaml_document_delete(&document->yaml);
    yaml_parser_delete(&loader.parser);
    return empty ? document_open(document, report, origin, prefix, path, "null", 4) : outcome;
}

void document_close(struct document *document) {
    yaml_document_delete(&document->yaml);
}

yaml_node_t *document_root(struct document *document) {
    return yaml_document_get_root_node(&document->yaml);
}

yaml_node_t *document_node(struct document *document, int index) {
    return yaml_document_get_node(&document->yaml, index);
}

struct origin document_origin(const struct document *document, const yaml_node_t *node) {
    return at_line(&document->origin, node->start_mark.line);
}

const char *document_text(const yaml_node_t *node) {
    if (node->type != YAML_SCALAR_NODE) return NULL;
    const char *text = (const char *)node->data.scalar.value;
    return strlen(text) == node->data.scalar.length ? text : NULL;
}

bool document_is_null(const yaml_node_t *node) {
    static const char *const spellings[] = {"", "~", "null", "Null", "NULL"};
    const char *text = document_text(node);
    if (text == NULL || node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE) return false;
    for (size_t i = 0; i < sizeof spellings / sizeof spellings[0]; i++) {
        if (strcmp(text, spellings[i]) == 0) return true;
    }
    return false;
}

struct quoted document_describe(const yaml_node_t *node) {
    struct quoted quoted = {"a list"};
    if (node->type == YAML_SCALAR_NODE) return report_quote((const char *)node->data.scalar.value);
    if (node->type == YAML_MAPPING_NODE) snprintf(quoted.text, sizeof quoted.text, "a map");
    return quoted;
}
