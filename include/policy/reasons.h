/* The verdicts: one code each, with its consequences. Constant tables, no state. */
#ifndef POLICY_REASONS_H
#define POLICY_REASONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum reason_leg { LEG_CLIENT, LEG_UPSTREAM, LEG_EITHER };
enum reason_blame { BLAME_CLIENT, BLAME_UPSTREAM, BLAME_OPERATOR };
enum reason_downgrade { DOWNGRADE_NO, DOWNGRADE_YES, DOWNGRADE_UNKNOWN, DOWNGRADE_POSSIBLE };
enum { REASON_ALERT_NONE = -1, REASON_ALERT_AS_SENT = -2 };

enum reason {
    REASON_OK, /* nothing to refuse */
#define REASON(name, code, leg, alert, http, error, blame, downgrade, sentence, remedy) \
    REASON_##name,
#include "policy/reasons.def"
#undef REASON
    REASON_COUNT
};

struct reason_row {
    const char *code;
    enum reason_leg leg;
    int alert;         /* RFC 5246 section 7.2 description, or REASON_ALERT_* */
    unsigned http;     /* status, 0: none */
    const char *error; /* Proxy-Status error type (RFC 9209 section 2.3), "" : none */
    enum reason_blame blame;
    enum reason_downgrade downgrade;
    const char *sentence; /* a clause: no capital, no full stop */
    const char *remedy;   /* a sentence */
};

/* The row of any reason but REASON_OK. */
const struct reason_row *reason_row(enum reason r);
/* What a client's alert means about our certificate, and what to do, in two sentences; NULL: the
 * alert is about something else (RFC 5246 section 7.2.2). */
const char *reason_rejection(int alert);
/* The row's remedy, or the one that fits the alert that was received (-1: none). */
const char *reason_remedy(enum reason r, int alert);
/* Is it about the upstream's certificate? */
bool reason_is_certificate(enum reason r);
/* REASON_OK for an unknown code. */
enum reason reason_by_code(const char *code);
const char *reason_leg_name(enum reason_leg leg);
const char *reason_blame_name(enum reason_blame blame);
const char *reason_downgrade_name(enum reason_downgrade downgrade);
/* "handshake_failure" for 40 (RFC 5246 section 7.2, RFC 6066, 7301, 7507), or "unknown". */
const char *reason_alert_name(int description);
/* "Forbidden" for 403; only the statuses that reasons.def uses, and 200. */
const char *reason_http_phrase(unsigned status);

#endif
