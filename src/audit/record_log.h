/* What a record says about the log itself, and about a process that ended: for audit/record.c. */
#ifndef AUDIT_RECORD_LOG_H
#define AUDIT_RECORD_LOG_H

#include "audit/record.h"
#include "base/json.h"

/* Nothing, if it has nothing to say. */
void record_put_log(struct json *j, const struct audit_log *log);
void record_put_cut(struct json *j, const struct audit_cut *cut);

#endif
