/* Shortens a record for a sink that cannot carry all of it. Private to audit/. */
#ifndef AUDIT_SHORTEN_H
#define AUDIT_SHORTEN_H

#include "base/attr.h"
#include "base/text.h"

/* Appends the line (without its line end) without its long parts and with suitegate.shortened: what
 * happened, to whom and the response stay; event with its sequence and hash comes last. The hash is
 * that of the whole record. False when it is not a record, or out of memory. */
WARN_UNUSED bool shorten_line(const char *line, size_t n, struct text *out);

#endif
