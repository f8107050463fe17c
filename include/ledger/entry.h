/* One record of an audit log, read back. Strings belong to the entry and come from the log: valid
 * UTF-8, but with any character that a peer chose. Use text_add_visible() for a terminal, and
 * escape them for a page. */
#ifndef LEDGER_ENTRY_H
#define LEDGER_ENTRY_H

#include "audit/record.h"
#include "ledger/lines.h"

#include <time.h>

enum { ENTRY_ACTION = 32 };

/* The record's event.action without parsing the rest; "" when it has none. *plain_close: a closed
 * connection without a code, which is the most frequent record. */
void entry_peek_action(const struct line_view *line, char out[ENTRY_ACTION], bool *plain_close);

/* The @timestamp, the first member, of a line of n bytes; "" and false when it has none. */
enum { ENTRY_TIME = 25 };
bool entry_peek_time(const char *line, size_t n, char out[ENTRY_TIME]);

/* The service.node.name of a line, as it stands there (JSON); "" and false when it has none. */
enum { ENTRY_INSTANCE = AUDIT_INSTANCE };
bool entry_peek_instance(const struct line_view *line, char out[ENTRY_INSTANCE]);

struct log_entry {
    void *root;
    const char *time, *action, *message; /* as all strings here: "" if absent */
    struct timespec at;
    const char *code;
    enum reason reason; /* REASON_OK: no code, or an unknown one */
    const char *leg, *blame, *downgrade;
    bool observed; /* connection-observed: what enforcing would have done */
    enum outlook_kind outlook;
    enum reason would_refuse;         /* REASON_OK unless outlook is OUTLOOK_REFUSE */
    const char *source, *destination; /* an address; a name or address */
    uint16_t destination_port;
    uint64_t source_bytes; /* the client's payload, of a closed connection */
    const char *instance, *identity, *listener, *connection_id, *detail;
    uint64_t sequence;
    uint64_t count;                 /* of refusals; 1 except for connection-refused-repeated */
    int alert_sent, alert_received; /* -1: none */
    const char *version, *cipher;   /* of the client's leg, or the upstream's if that is to blame */
};

/* False when the line is not a record. */
WARN_UNUSED bool entry_read(const struct line_view *line, struct log_entry *out);
void entry_fini(struct log_entry *e);

/* Lists of the client's hello, one string after the other. */
enum entry_list { ENTRY_WEAK_OFFERS, ENTRY_VERSIONS, ENTRY_CIPHERS };
void entry_each(const struct log_entry *e, enum entry_list list,
                void (*each)(void *arg, const char *s), void *arg);
/* What the client offered, or the upstream answered, in one clause; nothing if the record has
 * neither. */
void entry_describe_offer(const struct log_entry *e, struct text *out);

#endif
