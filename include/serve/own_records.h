/* The keeper's own records: of its start, reloads and end. */
#ifndef SERVE_OWN_RECORDS_H
#define SERVE_OWN_RECORDS_H

#include "audit/recorder.h"
#include "runtime/loaded_config.h"

/* One line instead of several, for a record. */
void to_one_line(char *s);
/* detail: a sentence, or NULL. */
void own_record(struct recorder *r, const struct loaded_config *loaded, enum audit_action action,
                const char *detail);
/* Warns the operator about what expires, and adds it to the record. */
void own_record_with_warnings(struct recorder *r, const struct loaded_config *loaded,
                              enum audit_action action);
/* Warns only. */
void own_warnings(const struct loaded_config *loaded);

#endif
