/* A checkpoint of an audit log, read back. */
#ifndef LEDGER_CHECKPOINT_ENTRY_H
#define LEDGER_CHECKPOINT_ENTRY_H

#include "audit/checkpoint.h"
#include "ledger/entry.h"
#include "ledger/lines.h"

struct checkpoint {
    bool at_start; /* a process began with it */
    bool at_stop;  /* a process ended with it */
    char time[ENTRY_TIME], key_id[LOG_KEY_ID + 1];
    char signature[2 * LOG_SPKI_LIMIT], public_key[2 * LOG_SPKI_LIMIT];
    char next_key[2 * LOG_SPKI_LIMIT]; /* that it announces, base 64; empty: none */
    struct chain head;
    struct chain previous; /* sequence 0: not named */
};

/* False when the line is not a complete checkpoint. */
WARN_UNUSED bool checkpoint_read(const struct line_view *line, struct checkpoint *out);

#endif
