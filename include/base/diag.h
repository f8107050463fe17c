/* Messages for the operator, on standard error: one line per message, with a time. Evidence does
 * not go here (see audit/). Safe from any thread. */
#ifndef BASE_DIAG_H
#define BASE_DIAG_H

#include "base/attr.h"

#include <stdbool.h>
#include <stdint.h>

void diag_info(const char *format, ...) PRINTF(1, 2);
void diag_warning(const char *format, ...) PRINTF(1, 2);
void diag_error(const char *format, ...) PRINTF(1, 2);

/* For engineers. Off unless SUITEGATE_TRACE is in the environment at the first call. */
void diag_trace(const char *format, ...) PRINTF(1, 2);

/* True at most once per interval; for messages that a peer could cause in large numbers. last_ns:
 * one static int64_t per message, initially 0. A lost race costs one extra message. */
bool diag_due(int64_t *last_ns, int64_t interval_ns);

#endif
