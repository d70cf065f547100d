/* body_account - where bodies give back the bytes that were charged for them, one account per pool.
 * thread: made and freed by the one who owns the door; body_account_give_back from any.
 * owns:   nothing but themselves; they outlive every body that was charged.
 * fails:  body_accounts_open: MEMORY_EXHAUSTED. */
#ifndef GATEWAY_BODY_ACCOUNT_H
#define GATEWAY_BODY_ACCOUNT_H

#include "core/gate.h"

struct body_account {
    struct gate *gate;
    uint32_t pool;
};

/* One for each number that a pool may have; free() them. */
enum outcome body_accounts_open(struct body_account **out, struct gate *gate);
/* A body_released_fn whose owner is an account. */
void body_account_give_back(void *account, size_t bytes);

#endif
