/* Is this an open line as audit/record.h writes it, whoever sent it? The clerk asks, since its
 * senders parse peers' bytes. A pure function on bytes. */
#ifndef AUDIT_OPEN_LINE_H
#define AUDIT_OPEN_LINE_H

#include "base/attr.h"
#include "base/reader.h"

#include <stdbool.h>

/* True only for one JSON object (RFC 8259) in UTF-8 without control characters, no deeper than
 * OPEN_LINE_DEPTH, that begins with "@timestamp" and ends within its one member "event", after a
 * member of it. "event" has this action, once, and none of the members that the clerk adds. */
enum { OPEN_LINE_DEPTH = 12 };
WARN_UNUSED bool open_line_is_sound(struct span line, const char *action);

#endif
