/* Name constraints (RFC 5280 section 4.2.1.10): do the names of one certificate lie within what a
 * CA above it may issue for? Checked for each constraining CA and each certificate below it, which
 * equals the accumulated sets of section 6.1.4 (g). Pure; owns nothing. */
#ifndef PKI_CONSTRAINTS_H
#define PKI_CONSTRAINTS_H

#include "base/attr.h"
#include "pki/cert.h"

/* constraints: NameConstraints content. False when a name of c is not allowed, is of a constrained
 * form that is not supported here, or the constraints are malformed. */
WARN_UNUSED bool constraints_allow(struct span constraints, const struct cert *c);

#endif
