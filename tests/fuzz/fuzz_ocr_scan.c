/* Images as ocr takes them: their pages, each no larger than allowed, or why not. Below scan lie Leptonica and
 * the libraries of the formats, which are not instrumented. */
#include "tests/fuzz/fuzz.h"
#include "workers/ocr/scan.h"

#define PIXELS ((uint64_t)256 * 256)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct scan scan;
    char why[SCAN_WHY_BYTES] = "";
    setMsgSeverity(L_SEVERITY_NONE);
    if (!scan_open(&scan, data, size, PIXELS, why)) {
        must(strlen(why) > 0);
        return 0;
    }
    must(scan.pages > 0 && scan.pages <= SCAN_PAGES_MAX);
    for (unsigned page = 0; page < scan.pages && page < 3; page++) {
        PIX *image = scan_page(&scan, page, why);
        if (image == NULL) {
            must(strlen(why) > 0);
            continue;
        }
        must((uint64_t)pixGetWidth(image) * (uint64_t)pixGetHeight(image) <= PIXELS);
        pixDestroy(&image);
    }
    return 0;
}
