/* scan - the pages inside an image file that a client sent: PNG, JPEG or TIFF, told by its bytes.
 * thread: any; keeps nothing but what it points at.
 * owns:   nothing: the bytes stay the caller's and outlive the scan. A page that is handed out is
 *         the caller's (pixDestroy).
 * fails:  false or NULL, with why in words for the client: not such an image, damaged, too large.
 *
 * Nothing is decoded before its size is known, so that a small file cannot ask for much memory. */
#ifndef WORKERS_OCR_SCAN_H
#define WORKERS_OCR_SCAN_H

#include <leptonica/allheaders.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCAN_PAGES_MAX 1000
#define SCAN_SIDE_MAX  32767 /* pixels; the recogniser keeps coordinates in 16 bits */
#define SCAN_WHY_BYTES 192

enum scan_format { SCAN_PNG, SCAN_JPEG, SCAN_TIFF };

struct scan {
    const unsigned char *data;
    size_t bytes;
    enum scan_format format;
    unsigned pages;
    uint64_t max_pixels; /* of each page */
};

bool scan_open(struct scan *out, const void *data, size_t bytes, uint64_t max_pixels,
               char why[SCAN_WHY_BYTES]);
/* Pages count from 0. Damaged images are refused as a whole, not read in part. */
PIX *scan_page(const struct scan *scan, unsigned page, char why[SCAN_WHY_BYTES]);

#endif
