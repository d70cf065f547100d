#include "scan.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define REFUSE(why, ...) (snprintf(why, SCAN_WHY_BYTES, __VA_ARGS__), 0)

/* ---- what it is ---- */

static bool find_format(const unsigned char *data, size_t bytes, enum scan_format *out) {
    static const struct {
        char magic[9];
        size_t bytes;
        enum scan_format format;
    } known[] = {
        {"\x89PNG\r\n\x1a\n", 8, SCAN_PNG},
        {"\xff\xd8\xff", 3, SCAN_JPEG},
        {"II*\0", 4, SCAN_TIFF},
        {"MM\0*", 4, SCAN_TIFF},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (bytes < known[i].bytes || memcmp(data, known[i].magic, known[i].bytes) != 0) continue;
        *out = known[i].format;
        return true;
    }
    return false;
}

/* ---- the pages of a TIFF ---- */

/* An unsigned number of the file, in its byte order; false beyond the end. */
static bool tiff_number(const struct scan *scan, uint64_t offset, unsigned bytes, uint64_t *out) {
    *out = 0;
    if (offset + bytes > scan->bytes) return false;
    bool little = scan->data[0] == 'I';
    for (unsigned i = 0; i < bytes; i++)
        *out = *out << 8 | scan->data[offset + (little ? bytes - 1 - i : i)];
    return true;
}

/* Walks the chain of directories (TIFF 6.0, section 2). The library would take a chain that is cut
 * off for a shorter one, and the client would miss pages without being told. */
static bool count_tiff_pages(struct scan *scan, char *why) {
    uint64_t offset, entries;
    bool whole = tiff_number(scan, 4, 4, &offset);
    while (whole && offset != 0) {
        if (++scan->pages > SCAN_PAGES_MAX)
            return REFUSE(why, "image: more than %d pages", SCAN_PAGES_MAX);
        whole = tiff_number(scan, offset, 2, &entries) &&
                tiff_number(scan, offset + 2 + entries * 12, 4, &offset);
    }
    if (whole && scan->pages > 0) return true;
    return REFUSE(why, "image: damaged, the directory of page %u is not in the file",
                  scan->pages > 0 ? scan->pages : 1);
}

bool scan_open(struct scan *out, const void *data, size_t bytes, uint64_t max_pixels,
               char why[SCAN_WHY_BYTES]) {
    *out = (struct scan){.data = data, .bytes = bytes, .max_pixels = max_pixels};
    if (!find_format(out->data, bytes, &out->format))
        return REFUSE(why, "image: not a PNG, JPEG or TIFF");
    if (out->format == SCAN_TIFF) return count_tiff_pages(out, why);
    out->pages = 1;
    return true;
}

/* ---- one page ---- */

static bool page_fits(const struct scan *scan, unsigned page, char *why) {
    int width = 0, height = 0;
    int damaged =
        scan->format == SCAN_TIFF
            ? readHeaderMemTiff(scan->data, scan->bytes, (int)page, &width, &height, NULL, NULL,
                                NULL, NULL, NULL)
            : pixReadHeaderMem(scan->data, scan->bytes, NULL, &width, &height, NULL, NULL, NULL);
    if (damaged || width <= 0 || height <= 0)
        return REFUSE(why, "image: page %u is damaged, its size cannot be read", page + 1);
    if (width > SCAN_SIDE_MAX || height > SCAN_SIDE_MAX)
        return REFUSE(why, "image: page %u has %d x %d pixels; allowed: %d on a side", page + 1,
                      width, height, SCAN_SIDE_MAX);
    if ((uint64_t)width * (uint64_t)height > scan->max_pixels)
        return REFUSE(why, "image: page %u has %d x %d pixels; allowed: %" PRIu64 " in all",
                      page + 1, width, height, scan->max_pixels);
    return true;
}

static PIX *decode(const struct scan *scan, unsigned page) {
    switch (scan->format) {
    case SCAN_PNG: return pixReadMemPng(scan->data, scan->bytes);
    case SCAN_JPEG: return pixReadMemJpeg(scan->data, scan->bytes, 0, 1, NULL, 0);
    case SCAN_TIFF: return pixReadMemTiff(scan->data, scan->bytes, (int)page);
    }
    return NULL;
}

PIX *scan_page(const struct scan *scan, unsigned page, char why[SCAN_WHY_BYTES]) {
    assert(page < scan->pages);
    if (!page_fits(scan, page, why)) return NULL;
    PIX *pix = decode(scan, page);
    if (pix == NULL) (void)REFUSE(why, "image: page %u is damaged, it cannot be decoded", page + 1);
    return pix;
}
