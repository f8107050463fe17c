/* The message of a connection's record, for people. Private to audit/. */
#ifndef AUDIT_RECORD_SENTENCE_H
#define AUDIT_RECORD_SENTENCE_H

#include "audit/record.h"

/* Appends one or more sentences. */
void record_sentence(const struct audit_event *e, struct text *out);
/* Appends "host:port", or the listener's name where the destination is not known. */
void record_destination(const struct audit_event *e, struct text *out);

#endif
