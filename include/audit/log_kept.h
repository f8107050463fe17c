/* What another process needs to go on with a log whose folder was deleted or moved away: the files
 * beside the log, as the process that had it open knows them. */
#ifndef AUDIT_LOG_KEPT_H
#define AUDIT_LOG_KEPT_H

#include "audit/logfile.h"
#include "base/snapshot.h"

/* Puts the key's and the state's file into s. False when out of memory. */
WARN_UNUSED bool log_keep(const struct logfile *l, struct snapshot *s);
/* Writes those of them again that are not there any more: before the log is opened. */
void log_put_back(const struct audit_config *config, struct snapshot *kept);

#endif
