/* Verifies the files of one log or of several instances' logs, given in any order. A file belongs
 * to the log whose last record its first one follows; else to the one of an instance of the same
 * name; else to the one that the same key signs; else it begins a log of its own. */
#ifndef LEDGER_LOGS_H
#define LEDGER_LOGS_H

#include "base/reader.h"
#include "base/text.h"
#include "ledger/verify.h"

struct logs;

/* keys: the public log keys that were noted (DER), borrowed; each is one log's. NULL when out of
 * memory. */
WARN_UNUSED struct logs *logs_new(const struct span *keys, size_t n);
void logs_free(struct logs *l);
/* Reads them all; once. paths: borrowed; "-": standard input. A state file beside a file is taken
 * into account. False with a sentence in errors if one cannot be read. */
WARN_UNUSED bool logs_read(struct logs *l, char *const *paths, size_t n, struct text *errors);

size_t logs_count(const struct logs *l);
/* In the order of their first records. */
const struct verify_summary *logs_summary(const struct logs *l, size_t i);
/* The id of a key by which no log is signed; NULL: i is beyond the last one. */
const char *logs_unused_key(const struct logs *l, size_t i);

#endif
