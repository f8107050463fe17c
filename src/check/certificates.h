/* What is wrong with the certificates that a server has shown. Private to check/. */
#ifndef CHECK_CERTIFICATES_H
#define CHECK_CERTIFICATES_H

#include "finding.h"

/* What is wrong with each. name: what they have to be for. */
void judge_certificates(const struct judged_at *at, const struct scan *s, const char *name);
/* Its key is of a kind that no approved suite goes with, so that no handshake comes about. */
bool judge_key_is_foreign(const struct scan_certificate *c);

#endif
