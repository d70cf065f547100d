#include "question.h"

#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* A question is an object in which one list may lie. */
#define DEPTH_MAX  4
#define VALUES_MAX ((size_t)2 * QUESTION_TEXTS_MAX)
#define MEMBERS    "input, model, dimensions, encoding_format, user"
#define TYPES      "application/json, text/plain; in UTF-8"

#define REFUSE(why, error, ...) (snprintf(why, QUESTION_WHY_BYTES, __VA_ARGS__), (error))
#define INVALID(why, ...)       REFUSE(why, POOLGATE_INVALID_INPUT, __VA_ARGS__)

/* ---- content type ---- */

static bool word_equals(const char *text, size_t bytes, const char *word) {
    return strlen(word) == bytes && strncasecmp(text, word, bytes) == 0;
}

/* The value of a charset parameter; "" if there is none. */
static const char *charset_of(const char *content_type, size_t *bytes) {
    const char *value = strcasestr(content_type, "charset=");
    if (value == NULL) {
        *bytes = 0;
        return "";
    }
    value += strlen("charset=");
    value += *value == '"';
    *bytes = strcspn(value, "\"; \t");
    return value;
}

static bool charset_is_utf8(const char *content_type) {
    size_t bytes;
    const char *charset = charset_of(content_type, &bytes);
    return bytes == 0 || word_equals(charset, bytes, "utf-8") ||
           word_equals(charset, bytes, "utf8") || word_equals(charset, bytes, "us-ascii");
}

/* ---- JSON ---- */

/* The parser recurses and builds a tree; this look ahead keeps both small whatever the body says. */
static bool shape_is_bounded(const char *body, size_t bytes) {
    size_t depth = 0, values = 0;
    bool quoted = false;
    for (size_t i = 0; i < bytes; i++) {
        char byte = body[i];
        if (quoted) {
            i += byte == '\\';
            quoted = byte != '"';
            continue;
        }
        quoted = byte == '"';
        if (byte == ',' || byte == ':') values++;
        if (byte == '[' || byte == '{') values++, depth++;
        if ((byte == ']' || byte == '}') && depth > 0) depth--;
        if (depth > DEPTH_MAX || values > VALUES_MAX) return false;
    }
    return true;
}

static int read_input(struct question *question, char *why) {
    const json_t *input = json_object_get(question->document, "input");
    if (input == NULL) return INVALID(why, "input: missing; allowed: a text or a list of texts");
    if (json_is_string(input)) {
        question->text = json_string_value(input);
        question->text_bytes = json_string_length(input);
        question->count = 1;
        return 0;
    }
    if (!json_is_array(input))
        return INVALID(why, "input: neither a text nor a list; allowed: a text or a list of texts");
    question->list = input;
    question->count = json_array_size(input);
    if (question->count == 0)
        return INVALID(why, "input: an empty list; allowed: 1 to %d texts", QUESTION_TEXTS_MAX);
    if (question->count > QUESTION_TEXTS_MAX)
        return INVALID(why, "input: %zu texts; allowed: 1 to %d texts", question->count,
                       QUESTION_TEXTS_MAX);
    for (size_t i = 0; i < question->count; i++)
        if (!json_is_string(json_array_get(input, i)))
            return INVALID(why, "input[%zu]: not a text; allowed: a text", i);
    return 0;
}

static int read_dimensions(struct question *question, char *why) {
    const json_t *asked = json_object_get(question->document, "dimensions");
    if (asked == NULL) return 0;
    json_int_t value = json_integer_value(asked); /* 0 if it is none */
    if (value < QUESTION_DIMENSIONS_MIN || value > (json_int_t)question->dimensions)
        return INVALID(why, "dimensions: not allowed; allowed: a whole number from %d to %zu",
                       QUESTION_DIMENSIONS_MIN, question->dimensions);
    question->dimensions = (size_t)value;
    return 0;
}

static int read_form(struct question *question, char *why) {
    const json_t *asked = json_object_get(question->document, "encoding_format");
    if (asked == NULL) return 0;
    const char *form = json_is_string(asked) ? json_string_value(asked) : "";
    if (strcmp(form, "float") == 0) {
        question->form = FORM_FLOAT;
    } else if (strcmp(form, "base64") == 0) {
        question->form = FORM_BASE64;
    } else {
        return INVALID(why, "encoding_format: not known; allowed: float, base64");
    }
    return 0;
}

/* Members that change nothing here, but that clients of such services send: texts, if given. */
static int read_rest(const struct question *question, char *why) {
    static const char *const known[] = {"input", "model", "dimensions", "encoding_format", "user"};
    const char *name;
    json_t *value;
    json_object_foreach(question->document, name, value) {
        bool found = false;
        for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
            found = found || strcmp(name, known[i]) == 0;
        if (!found) return INVALID(why, "a member that is not known; allowed: " MEMBERS);
        bool is_text = strcmp(name, "model") == 0 || strcmp(name, "user") == 0;
        if (is_text && !json_is_string(value))
            return INVALID(why, "%s: not a text; allowed: a text", name);
    }
    return 0;
}

/* What is refused before the parser sees it; 0: nothing. */
static int look_ahead(const struct poolgate_request *request, char *why) {
    static const char mark[] = "\xef\xbb\xbf";
    size_t bytes = request->body_bytes;
    if (bytes > QUESTION_JSON_MAX)
        return INVALID(why, "JSON: %zu bytes; allowed: %zu bytes", bytes, QUESTION_JSON_MAX);
    if (bytes >= sizeof mark - 1 && memcmp(request->body, mark, sizeof mark - 1) == 0)
        return INVALID(why, "JSON: begins with a byte order mark; allowed: UTF-8 without one");
    if (!shape_is_bounded(request->body, bytes))
        return INVALID(why,
                       "JSON: too deep or too many values; allowed: {\"input\": …} with 1 to "
                       "%d texts",
                       QUESTION_TEXTS_MAX);
    return 0;
}

static int read_document(struct question *question, const struct poolgate_request *request,
                         char *why) {
    int error_of = look_ahead(request, why);
    if (error_of != 0) return error_of;
    json_error_t error;
    question->document =
        json_loadb(request->body, request->body_bytes, JSON_REJECT_DUPLICATES, &error);
    if (question->document == NULL) {
        /* the parser quotes the body, perhaps half a character of it */
        for (char *byte = error.text; *byte != '\0'; byte++)
            if (*byte < ' ' || *byte > '~') *byte = '?';
        return INVALID(why, "JSON: line %d, column %d: %s", error.line, error.column, error.text);
    }
    if (!json_is_object(question->document))
        return INVALID(why, "JSON: not an object; allowed: {\"input\": …}");
    error_of = read_rest(question, why);
    if (error_of == 0) error_of = read_input(question, why);
    if (error_of == 0) error_of = read_dimensions(question, why);
    if (error_of == 0) error_of = read_form(question, why);
    return error_of;
}

/* ---- the door ---- */

int question_read(struct question *out, const struct poolgate_request *request, size_t dimensions,
                  char why[QUESTION_WHY_BYTES]) {
    *out = (struct question){.dimensions = dimensions, .form = FORM_FLOAT};
    const char *type = request->content_type + strspn(request->content_type, " \t");
    size_t type_bytes = strcspn(type, "; \t");
    bool is_json = word_equals(type, type_bytes, "application/json");
    if ((!is_json && type_bytes > 0 && !word_equals(type, type_bytes, "text/plain")) ||
        !charset_is_utf8(type))
        return REFUSE(why, POOLGATE_UNSUPPORTED, "content type: not supported; allowed: " TYPES);
    if (is_json) {
        int error = read_document(out, request, why);
        if (error != 0) question_free(out);
        return error;
    }
    out->text = request->body;
    out->text_bytes = request->body_bytes;
    out->count = 1;
    return 0;
}

const char *question_text(const struct question *question, size_t index, size_t *bytes) {
    assert(index < question->count);
    if (question->list == NULL) {
        *bytes = question->text_bytes;
        return question->text;
    }
    const json_t *text = json_array_get(question->list, index);
    *bytes = json_string_length(text);
    return json_string_value(text);
}

void question_free(struct question *question) {
    json_decref(question->document);
    *question = (struct question){0};
}
