#include "record_sentence.h"

#include <string.h>

void record_destination(const struct audit_event *e, struct text *out)
{
    char ip[ADDR_TEXT_SIZE] = "", port[TEXT_DECIMAL_SIZE];
    if (e->destination && e->destination->length) addr_format_ip(e->destination, ip);
    const char *host = e->domain && *e->domain ? e->domain : ip;
    bool v6 = strchr(host, ':') != NULL;
    if (!*host) {
        text_add(out, "listener ");
        text_add(out, e->listener);
        return;
    }
    text_decimal(e->destination_port, port);
    text_add(out, v6 ? "[" : "");
    text_add(out, host);
    text_add(out, v6 ? "]:" : ":");
    text_add(out, port);
}

static void add_outlook(const struct outlook *o, struct text *out)
{
    switch (o->kind) {
    case OUTLOOK_PASS:
        text_add(out, " Enforcing would let it through.");
        break;
    case OUTLOOK_REFUSE:
        text_printf(out, " Enforcing would refuse it (%s): %s.", reason_row(o->reason)->code,
                    reason_row(o->reason)->sentence);
        break;
    case OUTLOOK_UNKNOWN:
        text_add(out, " What enforcing would do is not known.");
        break;
    }
    if (o->why) text_printf(out, " %s", o->why);
}

void record_sentence(const struct audit_event *e, struct text *out)
{
    char source[ADDR_TEXT_SIZE] = "?";
    if (e->source && e->source->length) addr_format(e->source, source);
    bool refused = e->action == AUDIT_CONNECTION_REFUSED;
    text_add(out, refused                                  ? "Refused "
                  : e->action == AUDIT_CONNECTION_OPENED   ? "Opened "
                  : e->action == AUDIT_CONNECTION_OBSERVED ? "Observed "
                                                           : "Closed ");
    text_add(out, source);
    text_add(out, " to ");
    record_destination(e, out);
    if (e->action == AUDIT_CONNECTION_OPENED) {
        text_add(out, " with TLS 1.2 and an allowed suite");
        if (e->upstream.known) text_add(out, " on both legs");
    }
    if (e->action == AUDIT_CONNECTION_CLOSED) {
        text_add(out, " by ");
        text_add(out, e->closed_by ? e->closed_by : "error");
    }
    if (e->reason != REASON_OK) {
        text_add(out, ": ");
        text_add(out, reason_row(e->reason)->sentence);
    }
    text_add(out, ".");
    if (e->outlook) add_outlook(e->outlook, out);
    if (e->detail) {
        text_add(out, " ");
        text_add(out, e->detail);
    }
}
