/* One record of an audit log, read back. Strings belong to the entry and are what the log has:
 * valid UTF-8, but with any character a peer may have chosen; text_add_visible() before a
 * terminal, escaping before a page. */
#ifndef LEDGER_ENTRY_H
#define LEDGER_ENTRY_H

#include "audit/record.h"
#include "ledger/lines.h"

#include <time.h>

enum { ENTRY_ACTION = 32 };

/* The record's event.action without reading the rest; "" when it has none. A connection that
 * was closed and has no code is told apart for its frequency. */
void entry_peek_action(const struct line_view *line, char out[ENTRY_ACTION], bool *plain_close);

/* The @timestamp, which stands first, of a line of n bytes: "" and false when it is none. */
enum { ENTRY_TIME = 25 };
bool entry_peek_time(const char *line, size_t n, char out[ENTRY_TIME]);

struct log_entry {
    void *root;
    const char *time, *action, *message; /* as all strings here: "" where there is none */
    struct timespec at;
    const char *code;
    enum reason reason; /* REASON_OK: no code, or one that is not known */
    const char *leg, *blame, *downgrade;
    const char *source, *destination; /* an address; a name or address */
    uint16_t destination_port;
    uint64_t source_bytes; /* the client's payload, of a connection that is closed */
    const char *identity, *listener, *connection_id, *detail;
    uint64_t sequence;
    uint64_t count; /* of the refusals that it is about; 1 but for connection-refused-repeated */
    int alert_sent, alert_received; /* -1: none */
    const char *version, *cipher; /* of the leg that counts: the upstream's where it is to blame */
};

/* False when the line is no record. */
WARN_UNUSED bool entry_read(const struct line_view *line, struct log_entry *out);
void entry_fini(struct log_entry *e);

/* Lists of the client's hello, one string after the other. */
enum entry_list { ENTRY_WEAK_OFFERS, ENTRY_VERSIONS, ENTRY_CIPHERS };
void entry_each(const struct log_entry *e, enum entry_list list,
                void (*each)(void *arg, const char *s), void *arg);
/* What the client offered, or what the upstream showed, in one clause; nothing where the record
 * tells neither. */
void entry_describe_offer(const struct log_entry *e, struct text *out);

#endif
