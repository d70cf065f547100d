/* symbol - the name of a place in the program, for people who read a backtrace.
 * thread: any. It reads the program's file: never on a loop.
 * owns:   nothing.
 * fails:  never: without a name it says the file and the offset, as addr2line takes it. */
#ifndef CORE_BASE_SYMBOL_H
#define CORE_BASE_SYMBOL_H

#include <stddef.h>

#define SYMBOL_BYTES 96

/* "orchestrator_settle+0x1c", "libuv.so.1+0x9f30"; functions that are not exported are found too. */
void symbol_text(const void *address, char text[SYMBOL_BYTES]);

#endif
