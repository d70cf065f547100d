#include "core/base/secret.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/random.h>
#include <sys/types.h>

static uint8_t bytes[SECRET_BYTES]; /* up to 256 the kernel gives all or none */
static bool drawn;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void draw(void) {
    ssize_t count;
    do count = getrandom(bytes, sizeof bytes, 0);
    while (count < 0 && errno == EINTR);
    drawn = count == (ssize_t)sizeof bytes;
}

const uint8_t *secret_bytes(void) {
    pthread_once(&once, draw);
    return drawn ? bytes : NULL;
}
