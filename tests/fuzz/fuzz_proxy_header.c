/* proxy_header: whatever follows changes nothing, and less is MORE. */
#include "gateway/edge/proxy_header.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct proxy_header whole, part;
    const enum proxy_header_verdict verdict = proxy_header_read(&whole, data, size);
    must((verdict == PROXY_HEADER_WHOLE) == (whole.bytes > 0));
    must(whole.bytes <= size && whole.bytes <= PROXY_HEADER_BYTES);
    must((whole.source_bytes > 0) == (whole.source.ss_family != AF_UNSPEC));
    if (verdict == PROXY_HEADER_MORE) must(size < PROXY_HEADER_BYTES);
    const size_t end = verdict == PROXY_HEADER_WHOLE ? whole.bytes : size;
    for (size_t i = 0; i < end && i < PROXY_HEADER_BYTES; i++) {
        const enum proxy_header_verdict less = proxy_header_read(&part, data, i);
        must(less == PROXY_HEADER_MORE || (less == PROXY_HEADER_BAD && verdict == less));
    }
    if (verdict != PROXY_HEADER_WHOLE) return 0;
    must(proxy_header_read(&part, data, whole.bytes) == PROXY_HEADER_WHOLE);
    must(part.bytes == whole.bytes && memcmp(&part.source, &whole.source, sizeof part.source) == 0);
    return 0;
}
