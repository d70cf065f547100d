/* privileges - root's powers: who may keep them, and how they are given up.
 * thread: main, before the first other thread: bounding set and capabilities belong to threads.
 * owns:   nothing.
 * fails:  false with one line in `errors`, which says what is wrong and what is allowed; then the process
 *         must end: part of it may have happened.
 *
 * The order: sockets are bound and what only root may read is read, then privileges_drop, then everything
 * else, workers above all. */
#ifndef GATEWAY_PROCESS_PRIVILEGES_H
#define GATEWAY_PROCESS_PRIVILEGES_H

#include "gateway/config/config.h"

/* Root without process.user serves loopback addresses only, unless process.allow_root says otherwise. */
bool privileges_allow(const struct config *config, FILE *errors);
/* Becomes process.user if there is one; whoever is not root afterwards has no capability left and, where it
 * was root, cannot get one by executing anything. */
bool privileges_drop(const struct config *config, FILE *errors);
bool privileges_are_roots(void);

#endif
