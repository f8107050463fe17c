/* A checkpoint of an audit log, read back. */
#ifndef LEDGER_CHECKPOINT_ENTRY_H
#define LEDGER_CHECKPOINT_ENTRY_H

#include "audit/checkpoint.h"
#include "ledger/entry.h"
#include "ledger/lines.h"

struct checkpoint {
    bool at_start; /* the first word of a process that goes on with the log */
    bool at_stop;  /* the last word in it */
    char time[ENTRY_TIME], key_id[LOG_KEY_ID + 1];
    char signature[2 * LOG_SPKI_LIMIT], public_key[2 * LOG_SPKI_LIMIT];
    struct chain head;
    struct chain previous; /* sequence 0: it names none */
};

/* False when the line is none, or one that lacks something. */
WARN_UNUSED bool checkpoint_read(const struct line_view *line, struct checkpoint *out);

#endif
