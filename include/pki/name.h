/* Distinguished names (RFC 5280 section 4.1.2.4) as certificates hold them: comparison by section
 * 7.1, which ignores string type, case and white space, and conversion to text. A name is a span
 * over its DER with its header. Pure; allocates nothing but text. */
#ifndef PKI_NAME_H
#define PKI_NAME_H

#include "base/attr.h"
#include "base/reader.h"
#include "base/text.h"

/* False when either is malformed, unless they are the same bytes. ASCII letters are compared
 * without case; other characters as they are. */
bool name_equal(struct span a, struct span b);
/* Equal names have equal hashes. False when the name is malformed: a string that does not match its
 * type, or an RDN without or with more than eight attributes. */
WARN_UNUSED bool name_hash(struct span name, uint32_t *out);
/* Is name within the subtree below base (section 4.2.1.10)? */
bool name_is_within(struct span name, struct span base);
bool name_is_empty(struct span name);

/* Calls `each` with the content of every emailAddress attribute, until it returns false. False
 * then, or when name is malformed. */
bool name_each_email(struct span name, bool (*each)(void *arg, struct span value), void *arg);

/* RFC 4514 text: last RDN first, escaped. */
void name_format(struct span name, struct text *out);

#endif
