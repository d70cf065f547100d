/* thread_host - a plug-in's host on a thread of the gateway: what the thread transport runs.
 * thread: its own, from beginning to end.
 * owns:   the worker's socket, bell and share of the rings; it releases them, the socket last.
 * fails:  never to its caller: the end of the socket says that it has ended. */
#ifndef WORKERS_HOST_THREAD_HOST_H
#define WORKERS_HOST_THREAD_HOST_H

#include "core/transport/thread.h"

void thread_host_run(const struct thread_worker *worker);

#endif
