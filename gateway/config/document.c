#include "gateway/config/document.h"

#include <stdio.h>
#include <string.h>

/* A text on its way to becoming a document. */
struct loader {
    yaml_parser_t parser;
    struct report *report;
    const struct origin *origin;
    const char *prefix, *path; /* the key that the text belongs to */
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
    /* Where an event could not be allocated libyaml fails without naming an error. */
    if (parser->error == YAML_MEMORY_ERROR || parser->error == YAML_NO_ERROR)
        return MEMORY_EXHAUSTED;
    struct origin origin = at_line(loader->origin, problem_line(loader));
    report_mistake(loader->report, &origin, loader->prefix, loader->path,
                   "%s%s%s, allowed is well-formed YAML in UTF-8",
                   parser->problem != NULL ? parser->problem : "cannot be read",
                   parser->context != NULL ? " " : "",
                   parser->context != NULL ? parser->context : "");
    return INVALID_REQUEST;
}

static enum outcome begin(struct loader *loader) {
    if (!yaml_parser_initialize(&loader->parser)) return MEMORY_EXHAUSTED;
    yaml_parser_set_encoding(&loader->parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&loader->parser, (const unsigned char *)loader->text,
                                 loader->bytes);
    return OK;
}

static enum outcome refuse(const struct loader *loader, const yaml_event_t *event,
                           const char *why) {
    struct origin origin = at_line(loader->origin, event->start_mark.line);
    report_mistake(loader->report, &origin, loader->prefix, loader->path, "%s", why);
    return INVALID_REQUEST;
}

struct survey {
    size_t documents, depth;
};

static enum outcome survey_event(const struct loader *loader, struct survey *survey,
                                 const yaml_event_t *event) {
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (++survey->documents > 1)
            return refuse(loader, event, "has a second document, allowed is one");
        return OK;
    case YAML_SEQUENCE_START_EVENT:
    case YAML_MAPPING_START_EVENT:
        if (++survey->depth > DOCUMENT_DEPTH)
            return refuse(loader, event, "is nested too deeply, allowed are 64 levels");
        return OK;
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT: survey->depth--; return OK;
    default: return OK;
    }
}

/* Looks through the text before anything is built of it: libyaml takes minutes for a megabyte of
 * opening brackets, and says nothing about what follows the first document. */
static enum outcome look_through(struct loader *loader, struct survey *survey) {
    enum outcome outcome = begin(loader);
    if (outcome != OK) return outcome;
    for (bool end = false; !end && outcome == OK;) {
        yaml_event_t event;
        if (!yaml_parser_parse(&loader->parser, &event)) {
            outcome = explain(loader);
        } else {
            outcome = survey_event(loader, survey, &event);
            end = event.type == YAML_STREAM_END_EVENT;
            yaml_event_delete(&event);
        }
    }
    yaml_parser_delete(&loader->parser);
    return outcome;
}

static enum outcome load(struct loader *loader, yaml_document_t *yaml) {
    enum outcome outcome = begin(loader);
    if (outcome != OK) return outcome;
    if (!yaml_parser_load(&loader->parser, yaml)) outcome = explain(loader);
    yaml_parser_delete(&loader->parser);
    return outcome;
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
    struct survey survey = {.documents = 0};
    *document = (struct document){.origin = *origin};
    enum outcome outcome = look_through(&loader, &survey);
    if (outcome != OK) return outcome;
    if (survey.documents == 0) {
        loader.text = "null";
        loader.bytes = strlen(loader.text);
    }
    return load(&loader, &document->yaml);
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
