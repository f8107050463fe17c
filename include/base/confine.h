/* What this process and its children give up for good. */
#ifndef BASE_CONFINE_H
#define BASE_CONFINE_H

/* No further privileges from any program (no_new_privs), no core file, and no other process of the same
 * user may look into its memory. */
void confine_process(void);

#endif
