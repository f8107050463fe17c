/* The keeper's own records: of its start, reloads and end. */
#ifndef SERVE_OWN_RECORDS_H
#define SERVE_OWN_RECORDS_H

#include "audit/recorder.h"
#include "runtime/loaded_config.h"

/* What another process says, for a terminal: printable ASCII and line ends. NULL: nothing. */
void to_plain_lines(char *s);
/* Without its last line end; spaces instead of the others. */
void to_one_line(char *s);
/* detail: a sentence, or NULL. */
void own_record(struct recorder *r, const struct loaded_config *loaded, enum audit_action action,
                const char *detail);
/* Warns the operator about what expires, and adds it to the record. */
void own_record_with_warnings(struct recorder *r, const struct loaded_config *loaded,
                              enum audit_action action);
/* A configuration was rejected for these sentences, which it empties; also a message. */
void own_record_rejection(struct recorder *r, const struct loaded_config *loaded,
                          struct text *errors);
/* Warns only. */
void own_warnings(const struct loaded_config *loaded);

#endif
