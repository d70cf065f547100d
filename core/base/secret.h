/* secret - random bytes of this process, drawn once: they key hashes at which nobody may aim.
 * thread: any.
 * owns:   nothing that the caller frees; the bytes live as long as the process.
 * fails:  secret_bytes: NULL when the kernel gave none, then always. */
#ifndef CORE_BASE_SECRET_H
#define CORE_BASE_SECRET_H

#include <stdint.h>

#define SECRET_BYTES 192

const uint8_t *secret_bytes(void);

#endif
