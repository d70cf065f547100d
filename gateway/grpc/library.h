/* library - how gRPC's own libraries are set up before the first call: their log, their locks.
 * thread: main, once.
 * owns:   nothing.
 * fails:  never. */
#ifndef GATEWAY_GRPC_LIBRARY_H
#define GATEWAY_GRPC_LIBRARY_H

/* Initialises gRPC core; a later grpc_shutdown undoes it. */
void library_open(void);

#endif
