/* The parts of a scan, each in a file of its own. Private to check/. */
#ifndef CHECK_PARTS_H
#define CHECK_PARTS_H

#include "ask.h"

/* contact.c: the first hello, and how large a hello the server accepts. False when it does not
 * answer with TLS. */
bool contact_make(struct scanning *g);
/* versions.c: which versions, and which suites in each. */
void versions_find(struct scanning *g, unsigned threads);
/* detail.c: what it does with TLS 1.2, or the newest version below. */
void detail_find(struct scanning *g, unsigned threads);

#endif
