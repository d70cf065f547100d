/* desk - answers questions: where a request is, stop it, and all about the quarantine (burial.h).
 * thread: the pool loop.
 * owns:   nothing.
 * fails:  never: the answer says what is wrong. */
#ifndef CORE_DESK_H
#define CORE_DESK_H

#include "core/orchestrator.h"
#include "core/question.h"

void desk_answer(struct orchestrator *orchestrator, struct question *question, uint64_t now_ns);

#endif
