/* The parts of a scan, each in a file of its own. Private to check/. */
#ifndef CHECK_PARTS_H
#define CHECK_PARTS_H

#include "ask.h"

/* contact.c: the first word, and how much of one hello the server can stand. False when it tells
 * nothing of its TLS. */
bool contact_make(struct scanning *g);
/* versions.c: which versions, and which suites in each. */
void versions_find(struct scanning *g, unsigned threads);
/* detail.c: what it does with TLS 1.2, or with the newest version below. */
void detail_find(struct scanning *g, unsigned threads);

#endif
