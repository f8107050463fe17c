#include "check/smtp.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

const char *smtp_command(const struct smtp *s)
{
    return s->step == SMTP_EHLO ? "EHLO suitegate.invalid\r\n" : "STARTTLS\r\n";
}

/* "250-STARTTLS" or "250 STARTTLS", with what may follow. */
static bool names_starttls(const char *line)
{
    return strncasecmp(line + 4, "STARTTLS", 8) == 0 && (line[12] == '\0' || line[12] == ' ');
}

static enum smtp_status end_reply(struct smtp *s)
{
    bool positive = s->line[0] == '2';
    if (!positive) return SMTP_REFUSED;
    switch (s->step) {
    case SMTP_GREETING:
        s->step = SMTP_EHLO;
        return SMTP_SEND;
    case SMTP_EHLO:
        if (!s->offered) return SMTP_WITHOUT;
        s->step = SMTP_STARTTLS;
        return SMTP_SEND;
    case SMTP_STARTTLS:
        break;
    }
    return SMTP_READY;
}

/* Reply-line = three digits, then "-" when more follow (RFC 5321 section 4.2). */
static enum smtp_status end_line(struct smtp *s)
{
    while (s->n > 0 && s->line[s->n - 1] == '\r') s->n--;
    s->line[s->n] = '\0';
    for (size_t i = 0; i < 3; i++)
        if (!isdigit((unsigned char)s->line[i])) return SMTP_MALFORMED;
    bool more = s->line[3] == '-';
    if (!more && s->line[3] != ' ' && s->line[3] != '\0') return SMTP_MALFORMED;
    if (s->n > 4 && s->step == SMTP_EHLO && names_starttls(s->line)) s->offered = true;
    s->n = 0;
    if (++s->lines > SMTP_LINES) return SMTP_MALFORMED;
    return more ? SMTP_MORE : end_reply(s);
}

enum smtp_status smtp_feed(struct smtp *s, const char *p, size_t n, size_t *used)
{
    for (*used = 0; *used < n;) {
        char c = p[(*used)++];
        if (c != '\n') {
            if (s->n + 1 >= sizeof s->line) return SMTP_MALFORMED;
            s->line[s->n++] = c;
            continue;
        }
        enum smtp_status status = end_line(s);
        if (status != SMTP_MORE) return status;
    }
    return SMTP_MORE;
}
