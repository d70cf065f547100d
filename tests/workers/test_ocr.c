/* ocr, as the gateway sees it: the built plug-in in front of a fake host. Images that are not in the
 * repository are made with the Leptonica that the plug-in brings along. */
#include "tests/support/fake_host.h"
#include "tests/support/suite.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define PNG "image/png"

struct file {
    unsigned char *bytes;
    size_t size;
};

static struct plugin ocr;

/* ---- Leptonica, through the plug-in's own dependencies ---- */

struct Pix;
struct Pixa;
struct Box;
#define FORMAT_JPEG    2
#define FORMAT_PNG     3
#define FORMAT_TIFF    4
#define FORMAT_TIFF_G4 8
#define INSERT         0

static struct {
    struct Pix *(*pixReadMem)(const unsigned char *, size_t);
    struct Pix *(*pixClipRectangle)(struct Pix *, struct Box *, struct Box **);
    struct Pix *(*pixThresholdToBinary)(struct Pix *, int);
    int (*pixWriteMem)(unsigned char **, size_t *, struct Pix *, int);
    void (*pixDestroy)(struct Pix **);
    struct Box *(*boxCreate)(int, int, int, int);
    void (*boxDestroy)(struct Box **);
    struct Pixa *(*pixaCreate)(int);
    int (*pixaAddPix)(struct Pixa *, struct Pix *, int);
    int (*pixaWriteMemMultipageTiff)(unsigned char **, size_t *, struct Pixa *);
    void (*pixaDestroy)(struct Pixa **);
} lept;

static void *lept_function(const char *name) {
    void *function = dlsym(ocr.library, name);
    ck_assert_msg(function != NULL, "%s", dlerror());
    return function;
}
#define LEPT(name) *(void **)&lept.name = lept_function(#name)

/* ---- arranging and reading ---- */

__attribute__((constructor)) static void one_thread_for_each_slot(void) {
    setenv("OMP_THREAD_LIMIT", "1", 1); /* read when the plug-in is opened */
}

static void load_ocr_with(const char *name, const char *value) {
    ocr = plugin_loaded("ocr", name, value);
    LEPT(pixReadMem), LEPT(pixClipRectangle), LEPT(pixThresholdToBinary);
    LEPT(pixWriteMem), LEPT(pixDestroy), LEPT(boxCreate);
    LEPT(boxDestroy), LEPT(pixaCreate), LEPT(pixaAddPix), LEPT(pixaWriteMemMultipageTiff);
    LEPT(pixaDestroy);
}

static void load_ocr(void) {
    load_ocr_with(NULL, NULL);
}

static struct file read_file(const char *name) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/demo/%s", TEST_SOURCE_FOLDER, name);
    FILE *in = fopen(path, "rb");
    ck_assert_msg(in != NULL, "%s", path);
    struct file file = {.bytes = malloc(1 << 22)};
    file.size = fread(file.bytes, 1, (1 << 22) - 1, in);
    file.bytes[file.size] = '\0';
    fclose(in);
    return file;
}

/* A part of the demo page, in pixels: the title is the first, the opening paragraph the second. */
enum part { PART_TITLE, PART_OPENING, PART_EMPTY };

static struct Pix *part_of_page(enum part part) {
    static const int top[] = {150, 300, 40}, height[] = {150, 180, 100};
    struct file page = read_file("page.png");
    struct Pix *whole = lept.pixReadMem(page.bytes, page.size);
    struct Box *box = lept.boxCreate(100, top[part], 1450, height[part]);
    struct Pix *clipped = lept.pixClipRectangle(whole, box, NULL);
    ck_assert_ptr_nonnull(clipped);
    lept.boxDestroy(&box);
    lept.pixDestroy(&whole);
    free(page.bytes);
    return clipped;
}

static struct file part_as(enum part part, int format) {
    struct file file = {0};
    struct Pix *pix = part_of_page(part);
    ck_assert_int_eq(lept.pixWriteMem(&file.bytes, &file.size, pix, format), 0);
    lept.pixDestroy(&pix);
    return file;
}

static struct file parts_as_tiff(const enum part *parts, int count) {
    struct file file = {0};
    struct Pixa *pages = lept.pixaCreate(count);
    for (int i = 0; i < count; i++) {
        struct Pix *grey = part_of_page(parts[i]);
        lept.pixaAddPix(pages, lept.pixThresholdToBinary(grey, 128), INSERT);
        lept.pixDestroy(&grey);
    }
    ck_assert_int_eq(lept.pixaWriteMemMultipageTiff(&file.bytes, &file.size, pages), 0);
    lept.pixaDestroy(&pages);
    return file;
}

static struct answer ask_file(struct file file, const char *content_type, const char *operation) {
    return plugin_ask(&ocr, content_type, operation, file.bytes, file.size);
}

static void is_invalid(const void *bytes, size_t size, const char *words) {
    answer_is_error(plugin_ask(&ocr, PNG, "", bytes, size), POOLGATE_INVALID_INPUT, words);
}

static void answer_contains(const struct answer *answer, const char *type, const char *words) {
    ck_assert_msg(answer->kind == ANSWER_WHOLE, "%s", answer->message);
    ck_assert_str_eq(answer->content_type, type);
    ck_assert_msg(strstr(answer->bytes, words) != NULL, "\"%s\" is not in: %s", words,
                  answer->bytes);
}

#define TEXT "text/plain; charset=utf-8"

/* Levenshtein's distance in bytes, in one row. */
static size_t edit_distance(const char *left, const char *right) {
    size_t columns = strlen(right);
    size_t *row = malloc((columns + 1) * sizeof *row);
    for (size_t j = 0; j <= columns; j++) row[j] = j;
    for (size_t i = 0; left[i] != '\0'; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < columns; j++) {
            size_t best = diagonal + (left[i] != right[j]);
            if (best > row[j] + 1) best = row[j] + 1;
            if (best > row[j + 1] + 1) best = row[j + 1] + 1;
            diagonal = row[j + 1];
            row[j + 1] = best;
        }
    }
    size_t distance = row[columns];
    free(row);
    return distance;
}

/* ---- reading pages ---- */

START_TEST(the_demo_page_is_read_with_98_percent_of_its_characters_right) {
    load_ocr();
    struct file page = read_file("page.png"), text = read_file("page.txt");
    struct answer answer = ask_file(page, PNG, "");
    answer_contains(&answer, TEXT, "A queue is a promise.");
    size_t wrong = edit_distance(answer.bytes, (const char *)text.bytes);
    ck_assert_msg(wrong * 100 <= text.size * 2, "%zu of %zu characters are wrong", wrong,
                  text.size);
    free(page.bytes);
    free(text.bytes);
    answer_free(&answer);
    plugin_close(&ocr);
}
END_TEST

START_TEST(png_jpeg_and_tiff_are_told_by_their_bytes) {
    static const int formats[] = {FORMAT_PNG, FORMAT_JPEG, FORMAT_TIFF};
    static const char *const types[] = {"", "image/png", "IMAGE/X-any", "image/tiff; page=1",
                                        "application/octet-stream"};
    load_ocr();
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        struct file file = part_as(PART_TITLE, formats[i]);
        for (size_t j = 0; j < sizeof types / sizeof types[0]; j++) {
            struct answer answer = ask_file(file, types[j], "text");
            answer_contains(&answer, TEXT, "On Waiting Well\n");
            answer_free(&answer);
        }
        free(file.bytes);
    }
    plugin_close(&ocr);
}
END_TEST

START_TEST(the_pages_of_a_tiff_are_separated_by_a_form_feed) {
    static const enum part parts[] = {PART_TITLE, PART_EMPTY, PART_OPENING, PART_TITLE};
    load_ocr();
    struct file file = parts_as_tiff(parts, 4);
    struct answer answer = ask_file(file, "image/tiff", "");
    answer_contains(&answer, TEXT, "On Waiting Well\n\f\fA queue is a promise.");
    answer_contains(&answer, TEXT, "is working.\n\fOn Waiting Well\n");
    free(file.bytes);
    answer_free(&answer);
    plugin_close(&ocr);
}
END_TEST

START_TEST(hocr_is_one_document_with_all_pages) {
    static const enum part parts[] = {PART_TITLE, PART_TITLE};
    load_ocr();
    struct file file = parts_as_tiff(parts, 2);
    struct answer answer = ask_file(file, "image/tiff", "hocr");
    answer_contains(&answer, "application/xhtml+xml", "<?xml");
    answer_contains(&answer, "application/xhtml+xml", "id='page_1'");
    answer_contains(&answer, "application/xhtml+xml", "id='page_2'");
    answer_contains(&answer, "application/xhtml+xml", ">Waiting</span>");
    ck_assert_str_eq(answer.bytes + answer.size - 8, "</html>\n");
    free(file.bytes);
    answer_free(&answer);
    plugin_close(&ocr);
}
END_TEST

START_TEST(tsv_has_one_header_and_numbers_its_pages) {
    static const char type[] = "text/tab-separated-values; charset=utf-8";
    static const enum part parts[] = {PART_TITLE, PART_TITLE};
    load_ocr();
    struct file file = parts_as_tiff(parts, 2);
    struct answer answer = ask_file(file, "image/tiff", "tsv");
    answer_contains(&answer, type, "\tWaiting\n");
    answer_contains(&answer, type, "\n1\t1\t");
    answer_contains(&answer, type, "\n1\t2\t");
    ck_assert_ptr_eq(strstr(answer.bytes, "level\tpage_num"), answer.bytes);
    ck_assert_ptr_null(strstr(answer.bytes + 1, "level\tpage_num"));
    for (const char *line = answer.bytes; *line != '\0'; line = strchr(line, '\n') + 1) {
        size_t tabs = 0;
        for (const char *byte = line; *byte != '\n'; byte++) tabs += *byte == '\t';
        ck_assert_uint_eq(tabs, 11);
    }
    free(file.bytes);
    answer_free(&answer);
    plugin_close(&ocr);
}
END_TEST

START_TEST(an_empty_page_is_an_empty_text) {
    load_ocr();
    struct file file = part_as(PART_EMPTY, FORMAT_PNG);
    struct answer answer = ask_file(file, PNG, "");
    answer_contains(&answer, TEXT, "");
    ck_assert_uint_eq(answer.size, 0);
    free(file.bytes);
    answer_free(&answer);
    plugin_close(&ocr);
}
END_TEST

START_TEST(one_request_leaves_nothing_behind_for_the_next) {
    load_ocr();
    struct file opening = part_as(PART_OPENING, FORMAT_PNG);
    struct file title = part_as(PART_TITLE, FORMAT_PNG);
    struct answer first = ask_file(opening, PNG, "hocr");
    struct answer other = ask_file(title, PNG, "");
    struct answer again = ask_file(opening, PNG, "hocr");
    ck_assert_str_eq(first.bytes, again.bytes);
    free(opening.bytes);
    free(title.bytes);
    answer_free(&first);
    answer_free(&other);
    answer_free(&again);
    plugin_close(&ocr);
}
END_TEST

struct job {
    struct file file;
    struct answer answer;
};

/* Loads a slot of its own and reads the file with it. */
static void *read_in_another_slot(void *file_in_answer_out) {
    struct job *job = file_in_answer_out;
    struct plugin slot = plugin_loaded("ocr", NULL, NULL);
    job->answer = plugin_ask(&slot, PNG, "hocr", job->file.bytes, job->file.size);
    plugin_close(&slot);
    return NULL;
}

START_TEST(slots_on_threads_of_one_process_do_not_disturb_each_other) {
    struct job jobs[3];
    pthread_t threads[3];
    load_ocr();
    struct file opening = part_as(PART_OPENING, FORMAT_PNG);
    struct answer alone = ask_file(opening, PNG, "hocr");
    for (size_t i = 0; i < 3; i++) {
        jobs[i].file = opening;
        pthread_create(&threads[i], NULL, read_in_another_slot, &jobs[i]);
    }
    for (size_t i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
        ck_assert_str_eq(jobs[i].answer.bytes, alone.bytes);
        answer_free(&jobs[i].answer);
    }
    free(opening.bytes);
    answer_free(&alone);
    plugin_close(&ocr);
}
END_TEST

/* ---- stopping ---- */

START_TEST(a_cancelled_request_stops_within_a_page) {
    load_ocr();
    struct file page = read_file("page.png");
    struct answer whole = ask_file(page, PNG, "");
    struct answer stopped = plugin_ask_until(&ocr, PNG, "", page.bytes, page.size, 4);
    ck_assert_int_lt(stopped.asks, whole.asks / 2);
    answer_is_error(stopped, POOLGATE_FAILED, "cancelled");

    struct answer after = ask_file(page, PNG, ""); /* the slot is as good as before */
    ck_assert_str_eq(after.bytes, whole.bytes);
    free(page.bytes);
    answer_free(&whole);
    answer_free(&after);
    plugin_close(&ocr);
}
END_TEST

START_TEST(a_cancelled_request_does_not_decode_another_page) {
    static const enum part parts[] = {PART_TITLE, PART_TITLE};
    load_ocr();
    struct file file = parts_as_tiff(parts, 2);
    struct answer answer = plugin_ask_until(&ocr, "image/tiff", "", file.bytes, file.size, 0);
    ck_assert_int_eq(answer.asks, 1);
    answer_is_error(answer, POOLGATE_FAILED, "cancelled");
    free(file.bytes);
    plugin_close(&ocr);
}
END_TEST

/* ---- what is refused ---- */

START_TEST(bytes_that_are_no_image_are_invalid) {
    static const char gif[] = "GIF89a\1\0\1\0\0\0\0;", bmp[] = "BM and nothing of it",
                      big_tiff[] = "II+\0\10\0\0\0\0\0\0\0\0\0\0\0";
    load_ocr();
    is_invalid(NULL, 0, "not a PNG, JPEG or TIFF");
    is_invalid("\x89PNG", 4, "not a PNG, JPEG or TIFF");
    is_invalid("just text", 9, "not a PNG, JPEG or TIFF");
    is_invalid(gif, sizeof gif, "not a PNG, JPEG or TIFF");
    is_invalid(bmp, sizeof bmp, "not a PNG, JPEG or TIFF");
    is_invalid(big_tiff, sizeof big_tiff, "not a PNG, JPEG or TIFF");
    plugin_close(&ocr);
}
END_TEST

START_TEST(a_damaged_image_is_invalid_wherever_it_ends) {
    static const int formats[] = {FORMAT_PNG, FORMAT_JPEG, FORMAT_TIFF_G4};
    static const enum part both[] = {PART_TITLE, PART_OPENING};
    load_ocr();
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        struct file file =
            formats[i] == FORMAT_TIFF_G4 ? parts_as_tiff(both, 2) : part_as(PART_TITLE, formats[i]);
        for (size_t kept = 8; kept + 64 < file.size; kept += 1 + file.size / 23)
            is_invalid(file.bytes, kept, "damaged");
        free(file.bytes);
    }
    plugin_close(&ocr);
}
END_TEST

/* Whatever it is taken for, the slot survives it and reads on. */
START_TEST(flipped_bytes_do_not_harm_the_slot) {
    static const int formats[] = {FORMAT_PNG, FORMAT_JPEG, FORMAT_TIFF_G4};
    static const enum part both[] = {PART_TITLE, PART_EMPTY};
    uint32_t random = 7;
    load_ocr_with("max_megapixels", "1");
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        struct file file =
            formats[i] == FORMAT_TIFF_G4 ? parts_as_tiff(both, 2) : part_as(PART_EMPTY, formats[i]);
        for (size_t round = 0; round < 60; round++) {
            random = random * 1664525 + 1013904223;
            size_t at = (random >> 8) % (round % 2 == 0 ? 200 : file.size);
            unsigned char before = file.bytes[at];
            file.bytes[at] = (unsigned char)(random >> 3);
            struct answer answer = ask_file(file, PNG, "");
            ck_assert(answer.kind == ANSWER_WHOLE || answer.error == POOLGATE_INVALID_INPUT);
            answer_free(&answer);
            file.bytes[at] = before;
        }
        free(file.bytes);
    }
    plugin_close(&ocr);
}
END_TEST

/* A PNG header that promises width x height pixels, and nothing after it. */
static struct file promise_pixels(uint32_t width, uint32_t height) {
    static const unsigned char start[] = "\x89PNG\r\n\x1a\n\0\0\0\rIHDRwwwwhhhh\1\0\0\0\0cccc";
    struct file file = {.bytes = calloc(1, 256), .size = 256};
    memcpy(file.bytes, start, sizeof start - 1);
    for (unsigned i = 0; i < 4; i++) {
        file.bytes[16 + i] = (unsigned char)(width >> (24 - 8 * i));
        file.bytes[20 + i] = (unsigned char)(height >> (24 - 8 * i));
    }
    return file;
}

START_TEST(a_page_that_is_too_large_is_refused_before_it_is_decoded) {
    load_ocr();
    struct file wide = promise_pixels(32768, 10), large = promise_pixels(20000, 5001);
    struct file fair = promise_pixels(20000, 5000);
    is_invalid(wide.bytes, wide.size, "32768 x 10 pixels; allowed: 32767 on a side");
    is_invalid(large.bytes, large.size, "20000 x 5001 pixels; allowed: 100000000 in all");
    is_invalid(fair.bytes, fair.size, "damaged");
    plugin_close(&ocr);

    load_ocr_with("max_megapixels", "1");
    struct file page = read_file("page.png");
    is_invalid(page.bytes, page.size, "allowed: 1000000 in all");
    free(wide.bytes);
    free(large.bytes);
    free(fair.bytes);
    free(page.bytes);
    plugin_close(&ocr);
}
END_TEST

START_TEST(a_chain_of_pages_without_end_is_refused) {
    unsigned char loop[64] = "II*\0\10\0\0\0\1\0\0\1\3\0\1\0\0\0\5"; /* one entry, then offset 8 */
    load_ocr();
    loop[22] = 8;
    is_invalid(loop, sizeof loop, "more than 1000 pages");
    loop[22] = 200;
    is_invalid(loop, sizeof loop, "the directory of page 2 is not in the file");
    loop[4] = 0;
    is_invalid(loop, sizeof loop, "the directory of page 1 is not in the file");
    plugin_close(&ocr);
}
END_TEST

START_TEST(what_is_no_image_by_its_type_is_unsupported) {
    static const char *const types[] = {"text/plain", "application/json", "application/pdf",
                                        "application/octet-streams", "imagery/png"};
    load_ocr();
    struct file file = part_as(PART_TITLE, FORMAT_PNG);
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        answer_is_error(ask_file(file, types[i], ""), POOLGATE_UNSUPPORTED,
                        "allowed: image/png, image/jpeg, image/tiff");
    answer_is_error(ask_file(file, PNG, "pdf"), POOLGATE_UNSUPPORTED, "allowed: text, hocr, tsv");
    answer_is_error(ask_file(file, PNG, "TSV"), POOLGATE_UNSUPPORTED, "allowed: text, hocr, tsv");
    free(file.bytes);
    plugin_close(&ocr);
}
END_TEST

/* ---- life ---- */

START_TEST(a_bad_argument_is_a_load_error_that_says_what_is_allowed) {
    static const struct {
        const char *name, *value, *words;
    } bad[] = {
        {"language", "", "language: not allowed"},
        {"language", "../eng", "language: not allowed"},
        {"language", "no_such_model", "language: no model for no_such_model"},
        {"psm", "0", "psm: not allowed; allowed: a whole number from 1 to 13"},
        {"psm", "14", "from 1 to 13"},
        {"psm", "-1", "from 1 to 13"},
        {"psm", "auto", "from 1 to 13"},
        {"dpi", "69", "dpi: not allowed; allowed: a whole number from 70 to 2400"},
        {"dpi", "2401", "from 70 to 2400"},
        {"dpi", "300dpi", "from 70 to 2400"},
        {"max_megapixels", "0", "max_megapixels: not allowed"},
        {"languages", "eng", "no such argument; allowed: language, psm, dpi, max_megapixels"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        plugin_refuses_argument("ocr", bad[i].name, bad[i].value, bad[i].words);
}
END_TEST

START_TEST(a_sound_slot_passes_its_check_and_reads_on) {
    load_ocr_with("psm", "7"); /* one line: four of them make a mess, but always the same */
    struct file file = part_as(PART_OPENING, FORMAT_PNG);
    struct answer before = ask_file(file, PNG, "");
    for (int round = 0; round < 2; round++) {
        ck_assert_msg(ocr.worker->check(ocr.state, ocr.error) == 0, "%s", ocr.error);
        struct answer after = ask_file(file, PNG, "");
        ck_assert_str_eq(after.bytes, before.bytes);
        answer_free(&after);
    }
    answer_free(&before);
    free(file.bytes);
    plugin_close(&ocr);
}
END_TEST

SUITE("workers/ocr", 300, the_demo_page_is_read_with_98_percent_of_its_characters_right,
      png_jpeg_and_tiff_are_told_by_their_bytes, the_pages_of_a_tiff_are_separated_by_a_form_feed,
      hocr_is_one_document_with_all_pages, tsv_has_one_header_and_numbers_its_pages,
      an_empty_page_is_an_empty_text, one_request_leaves_nothing_behind_for_the_next,
      slots_on_threads_of_one_process_do_not_disturb_each_other,
      a_cancelled_request_stops_within_a_page, a_cancelled_request_does_not_decode_another_page,
      bytes_that_are_no_image_are_invalid, a_damaged_image_is_invalid_wherever_it_ends,
      flipped_bytes_do_not_harm_the_slot, a_page_that_is_too_large_is_refused_before_it_is_decoded,
      a_chain_of_pages_without_end_is_refused, what_is_no_image_by_its_type_is_unsupported,
      a_bad_argument_is_a_load_error_that_says_what_is_allowed,
      a_sound_slot_passes_its_check_and_reads_on)
