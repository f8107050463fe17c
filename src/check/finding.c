#include "finding.h"

#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void finding_add(const struct judged_at *at, enum item_kind kind, const char *code,
                 const char *subject, enum advice_topic topic, const char *format, ...)
{
    struct judgement *j = at->judgement;
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    for (size_t i = 0; i < j->n; i++) {
        struct item *same = &j->items[i];
        if (same->kind == kind && strcmp(same->code, code) == 0 &&
            strcmp(same->subject, subject) == 0 && same->text && strcmp(same->text, text) == 0) {
            same->addresses |= at->address;
            return;
        }
    }
    struct item *more = realloc(j->items, (j->n + 1) * sizeof *more);
    if (!more) {
        j->failed = true;
        return;
    }
    j->items = more;
    struct item *item = &more[j->n++];
    *item = (struct item){.kind = kind,
                          .code = code,
                          .text = text_copy(text, strlen(text)),
                          .topic = topic,
                          .addresses = at->address};
    snprintf(item->subject, sizeof item->subject, "%s", subject);
}

const char *finding_sentence(enum reason r, char out[FINDING_SENTENCE])
{
    static const char from[] = "the upstream", to[] = "the server";
    const char *sentence = reason_row(r)->sentence, *at = strstr(sentence, from);
    int before = at ? (int)(at - sentence) : (int)strlen(sentence);
    snprintf(out, FINDING_SENTENCE, "%.*s%s%s", before, sentence, at ? to : "",
             at ? at + sizeof from - 1 : "");
    return out;
}

/* A connection was established, or only lacked the client certificate that the server requests. */
bool scan_is_proved(const struct scan_approved *a)
{
    const struct proof *p = &a->proof;
    bool wanted = p->reason == REASON_UPSTREAM_WANTS_CLIENT_CERTIFICATE;
    return a->asked && (p->completed || (wanted && p->verified && p->keys_agreed));
}

bool scan_any_proved(const struct scan *s)
{
    for (size_t i = 0; i < SUITE_COUNT; i++)
        if (scan_is_proved(&s->approved[i])) return true;
    return false;
}
