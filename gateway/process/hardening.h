/* hardening - what this process gives up for good, whoever started it.
 * thread: main, before the first other thread: some of it belongs to threads and is inherited by later ones.
 * owns:   nothing.
 * fails:  never: it asserts what no kernel of the last ten years refuses.
 *
 * No program that is executed from here gains privileges; memory cannot be read or traced by others of the
 * same user, workers among them, and is never dumped; files are made for the owner alone; a reader that has
 * gone is an error and not a signal. */
#ifndef GATEWAY_PROCESS_HARDENING_H
#define GATEWAY_PROCESS_HARDENING_H

/* After privileges_drop, which makes the kernel forget one of these. */
void process_harden(void);

#endif
