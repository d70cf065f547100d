#include "gateway/request_id.h"

#include "core/base/clock.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define RANDOM_BYTES 10 /* of the 16: the first six are the time */

static void refill(struct request_ids *ids) {
    size_t got = 0;
    while (got < sizeof ids->random) {
        ssize_t count = getrandom(ids->random + got, sizeof ids->random - got, 0);
        if (count < 0 && errno == EINTR) continue;
        assert(count > 0);
        got += (size_t)count;
    }
    ids->left = sizeof ids->random;
}

static uint64_t wall_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / CLOCK_MS;
}

void request_id_fresh(struct request_ids *ids, char out[REQUEST_ID_FRESH_BYTES]) {
    static const char digits[] = "0123456789abcdef";
    if (ids->left < RANDOM_BYTES) refill(ids);
    uint8_t bytes[16];
    uint64_t ms = wall_ms();
    for (int i = 0; i < 6; i++) bytes[i] = (uint8_t)(ms >> (40 - 8 * i));
    memcpy(bytes + 6, ids->random + sizeof ids->random - ids->left, RANDOM_BYTES);
    ids->left -= RANDOM_BYTES;
    bytes[6] = (uint8_t)(0x70 | (bytes[6] & 0x0f)); /* version 7 */
    bytes[8] = (uint8_t)(0x80 | (bytes[8] & 0x3f)); /* the RFC's variant */
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) *out++ = '-';
        *out++ = digits[bytes[i] >> 4];
        *out++ = digits[bytes[i] & 0x0f];
    }
    *out = '\0';
}

bool request_id_usable(const char *text, size_t bytes) {
    if (bytes < 1 || bytes > REQUEST_ID_LONGEST) return false;
    for (size_t i = 0; i < bytes; i++)
        if (text[i] <= ' ' || text[i] > '~') return false;
    return true;
}
