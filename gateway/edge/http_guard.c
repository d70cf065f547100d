/* Every byte of a message's head is one step of a machine whose states are functions; the bytes of
 * bodies, of targets and of values that do not matter here are taken in runs. A step that refuses its
 * byte says why: the bytes before it had one meaning, so they may have passed. */
#include "gateway/edge/http_guard.h"

#include <string.h>

#define LARGEST        (UINT64_C(1) << 53) /* of a length: what every language counts exactly */
#define SIZE_DIGITS    16
#define LINE_BYTES     256 /* of a chunk's size with its extensions */
#define TRAILER_BYTES  4096
#define TRAILER_FIELDS 16

enum state {
    START,    /* nothing of the request yet */
    START_LF, /* the empty line before it */
    METHOD,
    TARGET_START,
    TARGET,
    VERSION,
    FIELD_START,
    NAME,
    VALUE,
    LINE_LF, /* the end of the request line, or of a field's */
    END_LF,  /* the end of the empty line */
    BODY,
    SIZE,
    EXTENSION_NAME,
    EXTENSION_VALUE,
    EXTENSION_QUOTED,
    EXTENSION_ESCAPED,
    EXTENSION_END, /* after a quoted value */
    SIZE_LF,
    DATA,
    DATA_CR,
    DATA_LF,
    STATE_COUNT
};

enum kind { OTHER, LENGTH, CODING, HOST };
enum part { BEFORE, WITHIN, AFTER }; /* the blanks around a value, and itself */

/* tchar of RFC 9110 section 5.6.2. */
static const bool token[256] = {
    ['!'] = true,         ['#' ... '\''] = true, ['*'] = true,         ['+'] = true,
    ['-'] = true,         ['.'] = true,          ['0' ... '9'] = true, ['A' ... 'Z'] = true,
    ['^' ... 'z'] = true, ['|'] = true,          ['~'] = true};

static bool refuse_as(struct http_guard *guard, enum http_guard_verdict verdict,
                      enum outcome answer, const char *flaw) {
    if (guard->trailer && verdict == HTTP_GUARD_FIELD) verdict = HTTP_GUARD_CHUNK;
    guard->verdict = verdict;
    guard->answer = answer;
    guard->flaw = flaw;
    return false;
}

static bool refuse(struct http_guard *guard, enum http_guard_verdict verdict, const char *flaw) {
    return refuse_as(guard, verdict, INVALID_REQUEST, flaw);
}

static bool refuse_coding(struct http_guard *guard) {
    return refuse_as(guard, HTTP_GUARD_FRAMING, NOT_IMPLEMENTED,
                     "Transfer-Encoding is something else than chunked; allowed: chunked");
}

static bool refuse_size(struct http_guard *guard, const char *trailers, const char *headers) {
    if (guard->trailer) return refuse(guard, HTTP_GUARD_TOO_LONG, trailers);
    return refuse_as(guard, HTTP_GUARD_TOO_LONG, HEADERS_TOO_LARGE, headers);
}

static bool pass(struct http_guard *guard, enum state next) {
    guard->state = (uint8_t)next;
    return true;
}

static bool blank(unsigned char c) {
    return c == ' ' || c == '\t';
}

static bool visible(unsigned char c) {
    return c > ' ' && c < 0x7f;
}

static bool value_byte(unsigned char c) {
    return (c >= ' ' && c != 0x7f) || c == '\t';
}

static void begin(struct http_guard *guard) {
    const uint64_t requests = guard->requests;
    *guard = (struct http_guard){.requests = requests, .between = true, .state = START};
}

static bool request_ends(struct http_guard *guard) {
    guard->requests++;
    begin(guard);
    return true;
}

/* The request line. */

static bool in_method(struct http_guard *guard, unsigned char c) {
    if (token[c]) {
        if (guard->name_bytes == HTTP_GUARD_NAME_BYTES)
            return refuse_as(guard, HTTP_GUARD_LINE, NOT_IMPLEMENTED,
                             "the method is none that the gateway knows");
        guard->name[guard->name_bytes++] = (char)c;
        return pass(guard, METHOD);
    }
    if (c != ' ' || guard->name_bytes == 0)
        return refuse(guard, HTTP_GUARD_LINE, "the method is not a token followed by one space");
    if (guard->name_bytes == 7 && memcmp(guard->name, "CONNECT", 7) == 0)
        return refuse(guard, HTTP_GUARD_LINE, "CONNECT is not for this server");
    return pass(guard, TARGET_START);
}

static bool at_start(struct http_guard *guard, unsigned char c) {
    if (c == '\r' && !guard->emptied) return pass(guard, START_LF);
    if (c == '\n' && !guard->emptied)
        return refuse(guard, HTTP_GUARD_NEWLINE, "a line ends with LF alone");
    if (!in_method(guard, c)) return false;
    guard->between = false;
    return true;
}

static bool at_start_lf(struct http_guard *guard, unsigned char c) {
    if (c != '\n') return refuse(guard, HTTP_GUARD_NEWLINE, "a CR is not followed by LF");
    guard->emptied = true;
    return pass(guard, START);
}

/* A fragment is not sent, and those who meet one cut it off or do not. */
static bool target_byte(unsigned char c) {
    return visible(c) && c != '#';
}

static bool at_target(struct http_guard *guard, unsigned char c) {
    if (!target_byte(c)) return refuse(guard, HTTP_GUARD_LINE, "the target is missing");
    return pass(guard, TARGET);
}

static bool in_target(struct http_guard *guard, unsigned char c) {
    if (c == ' ') {
        guard->matched = 0;
        return pass(guard, VERSION);
    }
    if (target_byte(c)) return true;
    return refuse(guard, HTTP_GUARD_LINE, "the target has characters that targets cannot have");
}

static bool in_version(struct http_guard *guard, unsigned char c) {
    static const char text[] = "HTTP/1.";
    const uint8_t at = guard->matched++;
    if (at < sizeof text - 1 && c == (unsigned char)text[at]) return true;
    if (at == sizeof text - 1 && (c == '0' || c == '1')) {
        guard->version_1_0 = c == '0';
        return true;
    }
    if (at == sizeof text && c == '\r') return pass(guard, LINE_LF);
    if (at == sizeof text && c == '\n')
        return refuse(guard, HTTP_GUARD_NEWLINE, "a line ends with LF alone");
    return refuse(guard, HTTP_GUARD_LINE, "the version is neither HTTP/1.1 nor HTTP/1.0");
}

/* The fields, and those of a trailer. */

static bool at_field(struct http_guard *guard, unsigned char c) {
    if (c == '\r') return pass(guard, END_LF);
    if (c == '\n') return refuse(guard, HTTP_GUARD_NEWLINE, "a line ends with LF alone");
    if (blank(c)) return refuse(guard, HTTP_GUARD_FIELD, "a field is folded over two lines");
    if (!token[c]) return refuse(guard, HTTP_GUARD_FIELD, "a field has no name");
    if (guard->fields == (guard->trailer ? TRAILER_FIELDS : HTTP_GUARD_FIELDS))
        return refuse_size(guard, "the trailer has too many fields; allowed: 16",
                           "there are too many header lines; allowed: 100");
    guard->fields++;
    guard->name[0] = (char)(c | 0x20);
    guard->name_bytes = 1;
    return pass(guard, NAME);
}

static bool named(const struct http_guard *guard, const char *name, uint8_t bytes) {
    return guard->name_bytes == bytes && memcmp(guard->name, name, bytes) == 0;
}

/* A letter's case is bit 0x20; no other character of a token becomes a letter or a hyphen by it. */
static enum kind field_kind(const struct http_guard *guard) {
    if (named(guard, "content-length", 14)) return LENGTH;
    if (named(guard, "transfer-encoding", 17)) return CODING;
    return named(guard, "host", 4) ? HOST : OTHER;
}

static const char *length_flaw(struct http_guard *guard) {
    if (guard->sized) return "Content-Length is there more than once";
    if (guard->chunked) return "Content-Length and Transfer-Encoding are both there";
    guard->sized = true;
    guard->left = 0;
    return NULL;
}

static const char *coding_flaw(struct http_guard *guard) {
    if (guard->chunked) return "Transfer-Encoding is there more than once";
    if (guard->sized) return "Content-Length and Transfer-Encoding are both there";
    if (guard->version_1_0) return "Transfer-Encoding is not for HTTP/1.0";
    guard->chunked = true;
    return NULL;
}

static const char *host_flaw(struct http_guard *guard) {
    if (guard->hosted) return "Host is there more than once";
    guard->hosted = true;
    return NULL;
}

static bool at_colon(struct http_guard *guard) {
    const enum kind kind = field_kind(guard);
    const char *flaw = NULL;
    if (kind != OTHER && guard->trailer)
        return refuse(guard, HTTP_GUARD_CHUNK, "a trailer says what only a header may say");
    if (kind == LENGTH) flaw = length_flaw(guard);
    if (kind == CODING) flaw = coding_flaw(guard);
    if (kind == HOST) flaw = host_flaw(guard);
    if (flaw != NULL) return refuse(guard, HTTP_GUARD_FRAMING, flaw);
    guard->kind = (uint8_t)kind;
    guard->part = BEFORE;
    guard->matched = 0;
    return pass(guard, VALUE);
}

/* Where the name ended: its characters are taken in a run. */
static bool in_name(struct http_guard *guard, unsigned char c) {
    if (c == ':') return at_colon(guard);
    if (blank(c)) return refuse(guard, HTTP_GUARD_FIELD, "a field has a blank before its colon");
    return refuse(guard, HTTP_GUARD_FIELD, "a field's name has characters that names cannot have");
}

static bool length_byte(struct http_guard *guard, unsigned char c) {
    if (c < '0' || c > '9' || guard->part == AFTER)
        return refuse(guard, HTTP_GUARD_FRAMING, "Content-Length is not one number");
    guard->left = guard->left * 10 + (uint64_t)(c - '0');
    if (guard->left > LARGEST)
        return refuse(guard, HTTP_GUARD_FRAMING, "Content-Length is too large a number");
    guard->part = WITHIN;
    return true;
}

static bool coding_byte(struct http_guard *guard, unsigned char c) {
    static const char text[] = "chunked";
    if (guard->part == AFTER || guard->matched == sizeof text - 1 ||
        (c | 0x20) != text[guard->matched])
        return refuse_coding(guard);
    guard->matched++;
    guard->part = WITHIN;
    return true;
}

static bool host_byte(struct http_guard *guard, unsigned char c) {
    if (guard->part == AFTER || c >= 0x7f || strchr(",/@?#\\\"<>^`{|}", c) != NULL)
        return refuse(guard, HTTP_GUARD_FRAMING, "Host is not one host");
    guard->part = WITHIN;
    return true;
}

static bool value_ends(struct http_guard *guard) {
    if (guard->kind == LENGTH && guard->part == BEFORE)
        return refuse(guard, HTTP_GUARD_FRAMING, "Content-Length is empty");
    if (guard->kind == CODING && guard->matched != 7) return refuse_coding(guard);
    return pass(guard, LINE_LF);
}

static bool in_value(struct http_guard *guard, unsigned char c) {
    if (c == '\r') return value_ends(guard);
    if (c == '\n') return refuse(guard, HTTP_GUARD_NEWLINE, "a line ends with LF alone");
    if (!value_byte(c))
        return refuse(guard, HTTP_GUARD_FIELD, "a field's value has control characters");
    if (guard->kind == OTHER) return true;
    if (blank(c)) {
        /* libmicrohttpd takes a blank behind such a value for a part of it. */
        if (guard->kind != HOST && guard->part == WITHIN)
            return refuse(guard, HTTP_GUARD_FRAMING,
                          "Content-Length or Transfer-Encoding ends with a blank");
        if (guard->part == WITHIN) guard->part = AFTER;
        return true;
    }
    if (guard->kind == LENGTH) return length_byte(guard, c);
    return guard->kind == CODING ? coding_byte(guard, c) : host_byte(guard, c);
}

static bool at_line_lf(struct http_guard *guard, unsigned char c) {
    if (c == '\n') return pass(guard, FIELD_START);
    return refuse(guard, HTTP_GUARD_NEWLINE, "a CR is not followed by LF");
}

static bool size_begins(struct http_guard *guard) {
    guard->left = 0;
    guard->matched = 0;
    guard->line_bytes = 0;
    return pass(guard, SIZE);
}

static bool at_end_lf(struct http_guard *guard, unsigned char c) {
    if (c != '\n') return refuse(guard, HTTP_GUARD_NEWLINE, "a CR is not followed by LF");
    if (guard->trailer) return request_ends(guard);
    if (!guard->hosted && !guard->version_1_0)
        return refuse(guard, HTTP_GUARD_FRAMING, "Host is missing");
    if (guard->chunked) return size_begins(guard);
    return guard->left > 0 ? pass(guard, BODY) : request_ends(guard);
}

/* Chunks. */

static int hex_digit(unsigned char c) {
    if (c >= '0' && c <= '9') return c - '0';
    const unsigned char lower = c | 0x20;
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

static bool line_byte(struct http_guard *guard) {
    if (guard->line_bytes == LINE_BYTES)
        return refuse(guard, HTTP_GUARD_TOO_LONG, "a chunk's extensions are too long");
    guard->line_bytes++;
    return true;
}

/* What may follow a size, or a whole extension. */
static bool extension_ends(struct http_guard *guard, unsigned char c, const char *flaw) {
    guard->part = BEFORE;
    if (c == ';') return pass(guard, EXTENSION_NAME);
    if (c == '\r') return pass(guard, SIZE_LF);
    if (c == '\n') return refuse(guard, HTTP_GUARD_NEWLINE, "a line ends with LF alone");
    return refuse(guard, HTTP_GUARD_CHUNK, flaw);
}

static bool in_size(struct http_guard *guard, unsigned char c) {
    const int digit = hex_digit(c);
    if (digit >= 0 && guard->matched < SIZE_DIGITS) {
        guard->matched++;
        guard->left = guard->left * 16 + (uint64_t)digit;
        if (guard->left <= LARGEST) return true;
        return refuse(guard, HTTP_GUARD_CHUNK, "a chunk's size is too large a number");
    }
    if (digit >= 0) return refuse(guard, HTTP_GUARD_CHUNK, "a chunk's size has too many digits");
    if (guard->matched == 0) return refuse(guard, HTTP_GUARD_CHUNK, "a chunk has no size");
    return extension_ends(guard, c, "a chunk's size is not a number in hexadecimal");
}

static const char malformed[] = "a chunk's extension is malformed";

static bool in_extension_name(struct http_guard *guard, unsigned char c) {
    if (!line_byte(guard)) return false;
    if (token[c]) {
        guard->part = WITHIN;
        return true;
    }
    if (guard->part == BEFORE) return refuse(guard, HTTP_GUARD_CHUNK, malformed);
    if (c != '=') return extension_ends(guard, c, malformed);
    guard->part = BEFORE;
    return pass(guard, EXTENSION_VALUE);
}

static bool in_extension_value(struct http_guard *guard, unsigned char c) {
    if (!line_byte(guard)) return false;
    if (token[c]) {
        guard->part = WITHIN;
        return true;
    }
    if (guard->part == WITHIN) return extension_ends(guard, c, malformed);
    if (c == '"') return pass(guard, EXTENSION_QUOTED);
    return refuse(guard, HTTP_GUARD_CHUNK, malformed);
}

static bool quotable(unsigned char c) {
    return c < 0x7f && value_byte(c);
}

static bool in_extension_quoted(struct http_guard *guard, unsigned char c) {
    if (!line_byte(guard)) return false;
    if (!quotable(c)) return refuse(guard, HTTP_GUARD_CHUNK, malformed);
    if (c == '"') return pass(guard, EXTENSION_END);
    return pass(guard, c == '\\' ? EXTENSION_ESCAPED : EXTENSION_QUOTED);
}

static bool in_extension_escaped(struct http_guard *guard, unsigned char c) {
    if (!line_byte(guard)) return false;
    if (!quotable(c)) return refuse(guard, HTTP_GUARD_CHUNK, malformed);
    return pass(guard, EXTENSION_QUOTED);
}

static bool at_extension_end(struct http_guard *guard, unsigned char c) {
    return line_byte(guard) && extension_ends(guard, c, malformed);
}

static bool at_size_lf(struct http_guard *guard, unsigned char c) {
    if (c != '\n') return refuse(guard, HTTP_GUARD_NEWLINE, "a CR is not followed by LF");
    if (guard->left > 0) return pass(guard, DATA);
    guard->trailer = true;
    guard->header_bytes = 0;
    guard->fields = 0;
    return pass(guard, FIELD_START);
}

static bool at_data_cr(struct http_guard *guard, unsigned char c) {
    if (c == '\r') return pass(guard, DATA_LF);
    return refuse(guard, HTTP_GUARD_CHUNK, "a chunk is not as long as its size");
}

static bool at_data_lf(struct http_guard *guard, unsigned char c) {
    if (c == '\n') return size_begins(guard);
    return refuse(guard, HTTP_GUARD_NEWLINE, "a CR is not followed by LF");
}

typedef bool step_fn(struct http_guard *guard, unsigned char c);
static step_fn *const steps[STATE_COUNT] = {
    [START] = at_start,
    [START_LF] = at_start_lf,
    [METHOD] = in_method,
    [TARGET_START] = at_target,
    [TARGET] = in_target,
    [VERSION] = in_version,
    [FIELD_START] = at_field,
    [NAME] = in_name,
    [VALUE] = in_value,
    [LINE_LF] = at_line_lf,
    [END_LF] = at_end_lf,
    [SIZE] = in_size,
    [EXTENSION_NAME] = in_extension_name,
    [EXTENSION_VALUE] = in_extension_value,
    [EXTENSION_QUOTED] = in_extension_quoted,
    [EXTENSION_ESCAPED] = in_extension_escaped,
    [EXTENSION_END] = at_extension_end,
    [SIZE_LF] = at_size_lf,
    [DATA_CR] = at_data_cr,
    [DATA_LF] = at_data_lf,
};

/* Runs: each takes as much as it may without a step. */

static size_t body_run(struct http_guard *guard, size_t count) {
    const size_t run = count < guard->left ? count : (size_t)guard->left;
    guard->left -= run;
    if (guard->left == 0 && guard->state == DATA) guard->state = DATA_CR;
    if (guard->left == 0 && guard->state == BODY) request_ends(guard);
    return run;
}

static uint32_t header_room(const struct http_guard *guard) {
    return (guard->trailer ? TRAILER_BYTES : HTTP_GUARD_HEADER_BYTES) - guard->header_bytes;
}

/* Of a name that is longer than each of ours its begin is enough. */
static size_t name_run(struct http_guard *guard, const unsigned char *bytes, size_t count) {
    size_t run = 0, at = guard->name_bytes;
    for (; run < count && token[bytes[run]]; run++)
        if (at < HTTP_GUARD_NAME_BYTES) guard->name[at++] = (char)(bytes[run] | 0x20);
    guard->name_bytes = (uint8_t)at;
    return run;
}

static size_t header_run(struct http_guard *guard, const unsigned char *bytes, size_t count) {
    if (count > header_room(guard)) count = header_room(guard);
    size_t run = 0;
    if (guard->state == NAME) run = name_run(guard, bytes, count);
    if (guard->state == TARGET)
        while (run < count && target_byte(bytes[run])) run++;
    if (guard->state == VALUE && guard->kind == OTHER)
        while (run < count && value_byte(bytes[run])) run++;
    guard->header_bytes += (uint32_t)run;
    return run;
}

static bool in_header(const struct http_guard *guard) {
    return guard->state > START_LF && guard->state < BODY;
}

static bool step(struct http_guard *guard, unsigned char c) {
    const bool header = guard->state == START || in_header(guard);
    if (header && header_room(guard) == 0 && guard->state == TARGET)
        return refuse_as(guard, HTTP_GUARD_TOO_LONG, URI_TOO_LONG,
                         "the request target is too long; allowed: 2048 bytes");
    if (header && header_room(guard) == 0)
        return refuse_size(guard, "the trailer is too long; allowed: 4096 bytes",
                           "the header lines are too long; allowed: 16384 bytes together");
    if (!steps[guard->state](guard, c)) return false;
    if (header && in_header(guard)) guard->header_bytes++;
    return true;
}

void http_guard_init(struct http_guard *guard) {
    guard->requests = 0;
    begin(guard);
}

size_t http_guard_see(struct http_guard *guard, const char *bytes, size_t count) {
    const unsigned char *const text = (const unsigned char *)bytes;
    size_t at = 0;
    while (at < count && guard->verdict == HTTP_GUARD_CLEAN) {
        if (guard->state == BODY || guard->state == DATA) {
            at += body_run(guard, count - at);
            continue;
        }
        if (in_header(guard)) at += header_run(guard, text + at, count - at);
        if (at < count && step(guard, text[at])) at++;
    }
    return at;
}
