/* What the operator is told, on standard error: one line a message, with a time.
 * Evidence does not go here (see audit/). Safe from any thread. */
#ifndef BASE_DIAG_H
#define BASE_DIAG_H

#include "base/attr.h"

#include <stdbool.h>
#include <stdint.h>

void diag_info(const char *format, ...) PRINTF(1, 2);
void diag_warning(const char *format, ...) PRINTF(1, 2);
void diag_error(const char *format, ...) PRINTF(1, 2);

/* Off unless the environment has SUITEGATE_TRACE when the first one is asked for: for engineers. */
void diag_trace(const char *format, ...) PRINTF(1, 2);

/* True at most once an interval; for messages that a peer could cause in numbers. One
 * static int64_t, initially 0, a place; a lost race costs one extra message. */
bool diag_due(int64_t *last_ns, int64_t interval_ns);

#endif
