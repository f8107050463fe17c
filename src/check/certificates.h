/* Judges the certificates that a server has sent. Private to check/. */
#ifndef CHECK_CERTIFICATES_H
#define CHECK_CERTIFICATES_H

#include "finding.h"

/* Adds an item for each fault. name: the one that they must have. */
void judge_certificates(const struct judged_at *at, const struct scan *s, const char *name);
/* Does no approved suite support its kind of key? Then no handshake is possible. */
bool judge_key_is_foreign(const struct scan_certificate *c);

#endif
