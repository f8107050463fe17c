/* The dialogue that turns an SMTP connection into TLS (RFC 5321, RFC 3207): greeting, EHLO,
 * STARTTLS. Fed with the server's bytes, it returns what to send. Pure; the caller embeds it. */
#ifndef CHECK_SMTP_H
#define CHECK_SMTP_H

#include "base/attr.h"

#include <stdbool.h>
#include <stddef.h>

enum smtp_status {
    SMTP_MORE,     /* needs more of the server's bytes */
    SMTP_SEND,     /* send smtp_command() */
    SMTP_READY,    /* TLS begins now */
    SMTP_REFUSED,  /* a negative reply */
    SMTP_WITHOUT,  /* the server does not support STARTTLS */
    SMTP_MALFORMED /* not SMTP replies */
};

enum { SMTP_LINE = 1024, SMTP_LINES = 128 };

struct smtp {
    enum { SMTP_GREETING, SMTP_EHLO, SMTP_STARTTLS } step;
    char line[SMTP_LINE]; /* the current reply line, then the last one */
    size_t n;
    unsigned lines;
    bool offered; /* EHLO's reply names STARTTLS */
};

/* A zeroed struct smtp is ready. Takes bytes up to the end of a whole reply; *used: how many.
 * Plaintext after the reply to STARTTLS would be an injection (CVE-2011-0411): it is never
 * taken. */
WARN_UNUSED enum smtp_status smtp_feed(struct smtp *s, const char *p, size_t n, size_t *used);
/* What to send after SMTP_SEND. */
const char *smtp_command(const struct smtp *s);

#endif
