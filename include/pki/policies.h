/* Certificate policies along a path (RFC 5280 section 6.1.2 to 6.1.5, as a set for each depth in
 * place of the tree: RFC 9618). The caller accepts any policy, so the only question is whether the
 * path lacks a policy that it requires. Pure; owns nothing. */
#ifndef PKI_POLICIES_H
#define PKI_POLICIES_H

#include "base/attr.h"
#include "pki/cert.h"

/* path: leaf first, anchor last; the anchor's extensions do not count. */
WARN_UNUSED bool policies_hold(const struct cert *const *path, size_t n);

#endif
