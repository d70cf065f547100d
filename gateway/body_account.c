#include "gateway/body_account.h"

#include <stdlib.h>

enum outcome body_accounts_open(struct body_account **out, struct gate *gate) {
    size_t pools = gate_pools_most(gate);
    *out = calloc(pools, sizeof **out);
    if (*out == NULL) return MEMORY_EXHAUSTED;
    for (size_t i = 0; i < pools; i++)
        (*out)[i] = (struct body_account){.gate = gate, .pool = (uint32_t)i};
    return OK;
}

void body_account_give_back(void *account, size_t bytes) {
    const struct body_account *charged = account;
    gate_uncharge(charged->gate, charged->pool, bytes);
}
