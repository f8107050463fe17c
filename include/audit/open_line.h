/* Is this an open line as audit/record.h writes it, whoever sent it? The clerk asks, since its
 * senders parse peers' bytes. A pure function on bytes. */
#ifndef AUDIT_OPEN_LINE_H
#define AUDIT_OPEN_LINE_H

#include "audit/receipt.h"
#include "audit/record.h"
#include "base/attr.h"
#include "base/reader.h"

#include <stdbool.h>

/* True only for one JSON object (RFC 8259) in UTF-8 without control characters, of at most
 * OPEN_LINE_LIMIT bytes and no deeper than OPEN_LINE_DEPTH, that begins with "@timestamp", a time,
 * and ends within its one member "event", after a member of it. "event" has its dataset with this
 * action after it, which stand nowhere else in the line, no objects, and none of the members that
 * the clerk adds. */
#define OPEN_LINE_ACTION "\"dataset\":\"suitegate.audit\",\"action\":"
enum { OPEN_LINE_DEPTH = 12, OPEN_LINE_LIMIT = AUDIT_RECORD_LIMIT - RECEIPT_ROOM - CHAIN_ROOM };
WARN_UNUSED bool open_line_is_sound(struct span line, const char *action);

#endif
