/* The keys of session tickets that several instances share, as a file: one per line, oldest first,
 *   2026-11-30T04:00:00Z 5d41...  (64 hexadecimal digits)
 * from when it seals (UTC), and 256 bits. Empty lines and those that begin with # are skipped. Who
 * reads keys owns and wipes them. */
#ifndef RUNTIME_TICKET_FILE_H
#define RUNTIME_TICKET_FILE_H

#include "base/attr.h"
#include "base/text.h"
#include "tls/ticket.h"

#include <stdbool.h>
#include <time.h>

enum {
    TICKET_FILE_LIMIT = 64 << 10,  /* bytes */
    TICKET_KEY_AHEAD_S = 600,      /* how long every instance has to get a new key */
    TICKET_KEY_STALE_S = 2 * 86400 /* then somebody is told to replace it */
};

/* file: for messages. False with a line in errors; out is then empty. */
WARN_UNUSED bool ticket_file_read(const struct text *content, const char *file,
                                  struct ticket_keys *out, struct text *errors);
void ticket_file_print(const struct ticket_keys *keys, struct text *out);

enum ticket_rotation { TICKETS_ROTATED, TICKETS_WAIT, TICKETS_FAILED };
/* Adds a key that seals ten minutes from now, so that every instance has it by then; from now on if
 * it is the first one. Takes out those by which no ticket is good any more. TICKETS_WAIT: one that
 * was added before has not begun yet, nothing is changed. TICKETS_FAILED: no random bytes. */
WARN_UNUSED enum ticket_rotation ticket_file_rotate(struct ticket_keys *keys, time_t now);

#endif
