/* ocr - a worker that reads text from scanned pages, with Tesseract and Leptonica.
 *
 * thread: one state per slot. Tesseract has a few settings for a whole process; they are made under
 *         a lock by whoever loads first and are only read from then on. One thread per slot: the
 *         host sets OMP_THREAD_LIMIT=1 before this object is loaded.
 * owns:   its state: the model is loaded once, in load. An answer is handed over without a copy.
 * fails:  POOLGATE_INVALID_INPUT where the bytes are no sound image of a fair size,
 *         POOLGATE_UNSUPPORTED on an unknown content type or operation. A cancelled request stops
 *         after the line of text that is being read.
 *
 * Arguments, all optional:
 *   language        models to read with, such as eng or deu+eng; eng
 *   psm             page segmentation mode, 1 to 13 as Tesseract counts them (its 0 reads no
 *                   text); 3, a whole page
 *   dpi             resolution to assume where an image names none, 70 to 2400; 300
 *   max_megapixels  size of a page that is refused above it, 1 to 1000; 100
 * In:  image/png, image/jpeg or image/tiff, all pages of it. What counts is the bytes; the content
 *      type may be any image/…, application/octet-stream or none.
 * Out: by operation: text (or none) text/plain; hocr application/xhtml+xml; tsv
 *      text/tab-separated-values. In a text, pages are separated by a form feed. */
#include "poolgate/worker.h"
#include "scan.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <tesseract/capi.h>

#define LANGUAGE_BYTES   64
#define CREDIBLE_DPI     70 /* below, Tesseract does not believe an image's resolution */
#define MEGAPIXEL        UINT64_C(1000000)
#define CHECK_FONT_PT    8
#define CHECK_LINE       "The gate is open"
#define ARGUMENTS        "language, psm, dpi, max_megapixels"
#define LANGUAGE_LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+"
#define CONTENT_TYPES    "image/png, image/jpeg, image/tiff"

struct slot {
    char language[LANGUAGE_BYTES];
    uint64_t psm, dpi, max_megapixels;
    TessBaseAPI *reader;
};

/* ---- operations ---- */

static char *page_as_text(TessBaseAPI *reader, int page) {
    (void)page;
    return TessBaseAPIGetUTF8Text(reader);
}

static const struct operation {
    const char *name, *content_type;
    const char *before, *between, *after; /* what stands around the pages */
    char *(*page)(TessBaseAPI *reader, int page);
} operations[] = {
    {"text", "text/plain; charset=utf-8", "", "\f", "", page_as_text},
    {"hocr", "application/xhtml+xml",
     "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
     "<!DOCTYPE html PUBLIC \"-//W3C//DTD XHTML 1.0 Transitional//EN\" "
     "\"http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd\">\n"
     "<html xmlns=\"http://www.w3.org/1999/xhtml\" xml:lang=\"en\" lang=\"en\">\n"
     "<head><title></title>\n"
     "<meta http-equiv=\"Content-Type\" content=\"text/html;charset=utf-8\"/>\n"
     "<meta name=\"ocr-capabilities\" content=\"ocr_page ocr_carea ocr_par ocr_line ocrx_word\"/>\n"
     "</head>\n<body>\n",
     "", "</body>\n</html>\n", TessBaseAPIGetHOCRText},
    {"tsv", "text/tab-separated-values; charset=utf-8",
     "level\tpage_num\tblock_num\tpar_num\tline_num\tword_num\tleft\ttop\twidth\theight\tconf\ttext"
     "\n",
     "", "", TessBaseAPIGetTsvText},
};

static const struct operation *find_operation(const char *name) {
    if (name[0] == '\0') return &operations[0];
    for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++)
        if (strcmp(operations[i].name, name) == 0) return &operations[i];
    return NULL;
}

static bool content_type_may_be_image(const char *type) {
    static const char octets[] = "application/octet-stream";
    size_t bytes = strcspn(type, "; \t");
    return bytes == 0 || strncasecmp(type, "image/", strlen("image/")) == 0 ||
           (bytes == sizeof octets - 1 && strncasecmp(type, octets, bytes) == 0);
}

/* ---- reading ---- */

enum reading { READING_DONE, READING_CANCELLED, READING_FAILED };

static bool nobody_waits(void *reply, int words) {
    (void)words;
    return poolgate_cancelled(reply) != 0;
}

/* Leaves the result in the slot's reader until TessBaseAPIClear. */
static enum reading read_page(struct slot *slot, PIX *page, struct poolgate_reply *reply) {
    if (pixGetXRes(page) < CREDIBLE_DPI) pixSetResolution(page, (int)slot->dpi, (int)slot->dpi);
    ETEXT_DESC *monitor = TessMonitorCreate();
    if (monitor == NULL) return READING_FAILED;
    TessMonitorSetCancelFunc(monitor, nobody_waits);
    TessMonitorSetCancelThis(monitor, reply);
    TessBaseAPISetImage2(slot->reader, page);
    int failed = TessBaseAPIRecognize(slot->reader, monitor);
    TessMonitorDelete(monitor);
    if (poolgate_cancelled(reply)) return READING_CANCELLED;
    return failed ? READING_FAILED : READING_DONE;
}

/* Appends one page's text; false when the reply was failed. */
static bool write_page(struct slot *slot, const struct scan *scan, unsigned number,
                       const struct operation *operation, FILE *out, struct poolgate_reply *reply) {
    char why[SCAN_WHY_BYTES];
    PIX *page = scan_page(scan, number, why);
    if (page == NULL) {
        poolgate_reply_fail(reply, POOLGATE_INVALID_INPUT, why);
        return false;
    }
    enum reading reading = read_page(slot, page, reply);
    char *text = reading == READING_DONE ? operation->page(slot->reader, (int)number) : NULL;
    if (text != NULL) fputs(text, out);
    bool done = text != NULL;
    TessDeleteText(text);
    TessBaseAPIClear(slot->reader);
    pixDestroy(&page);
    if (!done)
        poolgate_reply_fail(reply, POOLGATE_FAILED,
                            reading == READING_CANCELLED ? "cancelled"
                                                         : "the page could not be recognised");
    return done;
}

static bool write_pages(struct slot *slot, const struct scan *scan,
                        const struct operation *operation, FILE *out,
                        struct poolgate_reply *reply) {
    fputs(operation->before, out);
    for (unsigned number = 0; number < scan->pages; number++) {
        if (poolgate_cancelled(reply)) {
            poolgate_reply_fail(reply, POOLGATE_FAILED, "cancelled");
            return false;
        }
        if (number > 0) fputs(operation->between, out);
        if (!write_page(slot, scan, number, operation, out, reply)) return false;
    }
    fputs(operation->after, out);
    return true;
}

static void release(void *data, void *owner) {
    (void)owner;
    free(data);
}

static void answer(struct slot *slot, const struct scan *scan, const struct operation *operation,
                   struct poolgate_reply *reply) {
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    if (out == NULL) {
        poolgate_reply_fail(reply, POOLGATE_FAILED, "not enough memory");
        return;
    }
    bool done = write_pages(slot, scan, operation, out, reply);
    bool written = ferror(out) == 0;
    written = fclose(out) == 0 && written;
    TessBaseAPIClearAdaptiveClassifier(
        slot->reader); /* what it learnt is not for the next client */
    if (done && written) {
        poolgate_reply_take(reply, operation->content_type, text, bytes, release, NULL);
        return;
    }
    if (done) poolgate_reply_fail(reply, POOLGATE_FAILED, "not enough memory");
    free(text);
}

static void handle(void *state, const struct poolgate_request *request,
                   struct poolgate_reply *reply) {
    struct slot *slot = state;
    const struct operation *operation = find_operation(request->operation);
    struct scan scan;
    char why[SCAN_WHY_BYTES];
    if (operation == NULL) {
        poolgate_reply_fail(reply, POOLGATE_UNSUPPORTED,
                            "operation: not known; allowed: text, hocr, tsv");
    } else if (!content_type_may_be_image(request->content_type)) {
        poolgate_reply_fail(reply, POOLGATE_UNSUPPORTED,
                            "content type: not supported; allowed: " CONTENT_TYPES);
    } else if (!scan_open(&scan, request->body, request->body_bytes,
                          slot->max_megapixels * MEGAPIXEL, why)) {
        poolgate_reply_fail(reply, POOLGATE_INVALID_INPUT, why);
    } else {
        answer(slot, &scan, operation, reply);
    }
}

/* ---- life ---- */

static int set_language(struct slot *slot, const char *value, char *error) {
    size_t bytes = strlen(value);
    if (bytes == 0 || bytes >= LANGUAGE_BYTES || strspn(value, LANGUAGE_LETTERS) != bytes) {
        snprintf(error, POOLGATE_ERROR_BYTES,
                 "language: not allowed; allowed: names of models, such as eng or deu+eng");
        return -1;
    }
    memcpy(slot->language, value, bytes + 1);
    return 0;
}

static int set_number(uint64_t *out, const struct poolgate_pair *pair, uint64_t min, uint64_t max,
                      char *error) {
    char *end;
    unsigned long value = strtoul(pair->value, &end, 10);
    bool digit_first = pair->value[0] >= '0' && pair->value[0] <= '9';
    if (!digit_first || *end != '\0' || value < min || value > max) {
        snprintf(error, POOLGATE_ERROR_BYTES,
                 "%s: not allowed; allowed: a whole number from %lu to %lu", pair->name,
                 (unsigned long)min, (unsigned long)max);
        return -1;
    }
    *out = value;
    return 0;
}

static int set_argument(struct slot *slot, const struct poolgate_pair *pair, char *error) {
    if (strcmp(pair->name, "language") == 0) return set_language(slot, pair->value, error);
    if (strcmp(pair->name, "psm") == 0)
        return set_number(&slot->psm, pair, PSM_AUTO_OSD, PSM_RAW_LINE, error);
    if (strcmp(pair->name, "dpi") == 0)
        return set_number(&slot->dpi, pair, CREDIBLE_DPI, 2400, error);
    if (strcmp(pair->name, "max_megapixels") == 0)
        return set_number(&slot->max_megapixels, pair, 1, 1000, error);
    snprintf(error, POOLGATE_ERROR_BYTES, "%.64s: no such argument; allowed: " ARGUMENTS,
             pair->name);
    return -1;
}

/* What both libraries would tell stderr about every odd image is in the replies. Tesseract's target
 * is one text for the whole process, so it is written once and under a lock, before the first slot
 * can read a page. */
static void silence(TessBaseAPI *reader) {
    static pthread_mutex_t once = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&once);
    const char *target = TessBaseAPIGetStringVariable(reader, "debug_file");
    if (target == NULL || target[0] == '\0') {
        TessBaseAPISetVariable(reader, "debug_file", "/dev/null");
        setMsgSeverity(L_SEVERITY_NONE);
    }
    pthread_mutex_unlock(&once);
}

static void unload(void *state) {
    struct slot *slot = state;
    if (slot->reader != NULL) {
        TessBaseAPIEnd(slot->reader);
        TessBaseAPIDelete(slot->reader);
    }
    free(slot);
}

static int load(const struct poolgate_args *args, void **state, char error[POOLGATE_ERROR_BYTES]) {
    *state = NULL;
    struct slot *slot = malloc(sizeof *slot);
    if (slot == NULL) {
        snprintf(error, POOLGATE_ERROR_BYTES, "not enough memory");
        return -1;
    }
    *slot = (struct slot){
        .language = "eng", .psm = PSM_AUTO, .dpi = 300, .max_megapixels = 100, .reader = NULL};
    for (size_t i = 0; i < args->pairs_count; i++)
        if (set_argument(slot, &args->pairs[i], error) != 0) goto failed;

    slot->reader = TessBaseAPICreate();
    silence(slot->reader);
    if (TessBaseAPIInit3(slot->reader, NULL, slot->language) != 0) {
        snprintf(error, POOLGATE_ERROR_BYTES,
                 "language: no model for %s; install tesseract-ocr-LANGUAGE or name its folder in "
                 "TESSDATA_PREFIX",
                 slot->language);
        goto failed;
    }
    TessBaseAPISetPageSegMode(slot->reader, (TessPageSegMode)slot->psm);
    *state = slot;
    return 0;
failed:
    unload(slot);
    return -1;
}

/* ---- check ---- */

/* A line of print, made with a font that Leptonica carries in its code. */
static PIX *print_line(const char *line) {
    PIX *page = pixCreate(280, 60, 8);
    L_BMF *font = bmfCreate(NULL, CHECK_FONT_PT);
    int failed = page == NULL || font == NULL || pixSetAll(page) != 0 ||
                 pixSetTextline(page, font, line, 0, 20, 40, NULL, NULL) != 0;
    bmfDestroy(&font);
    if (failed) pixDestroy(&page);
    return page;
}

/* Reads a printed line. A model of another script than Latin must at least see that there is text. */
static int check(void *state, char error[POOLGATE_ERROR_BYTES]) {
    struct slot *slot = state;
    PIX *page = print_line(CHECK_LINE);
    if (page == NULL) {
        snprintf(error, POOLGATE_ERROR_BYTES, "not enough memory");
        return -1;
    }
    pixSetResolution(page, (int)slot->dpi, (int)slot->dpi);
    TessBaseAPISetPageSegMode(slot->reader, PSM_SINGLE_BLOCK);
    TessBaseAPISetImage2(slot->reader, page);
    int failed = TessBaseAPIRecognize(slot->reader, NULL);
    char *text = failed ? NULL : TessBaseAPIGetUTF8Text(slot->reader);
    bool sound = text != NULL && strcspn(text, " \n") > 0 &&
                 (strstr(slot->language, "eng") == NULL || strstr(text, CHECK_LINE) != NULL);
    if (!sound)
        snprintf(error, POOLGATE_ERROR_BYTES, "a known line was read as \"%.64s\"",
                 text != NULL ? text : "");
    TessDeleteText(text);
    TessBaseAPIClear(slot->reader);
    TessBaseAPIClearAdaptiveClassifier(slot->reader);
    TessBaseAPISetPageSegMode(slot->reader, (TessPageSegMode)slot->psm);
    pixDestroy(&page);
    return sound ? 0 : -1;
}

static const struct poolgate_worker worker = {
    .abi = POOLGATE_WORKER_ABI,
    .struct_bytes = sizeof(struct poolgate_worker),
    .name = "ocr",
    .version = POOLGATE_VERSION,
    .load = load,
    .handle = handle,
    .check = check,
    .unload = unload,
};

const struct poolgate_worker *poolgate_worker_entry(void) {
    return &worker;
}
