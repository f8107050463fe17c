/* The latest attempts at test listeners, for an operator who wants to know why one just failed. One
 * per process, fed by all workers; bounded, in memory only. The evidence is the audit log. */
#ifndef PAGE_RECENT_H
#define PAGE_RECENT_H

#include "base/addr.h"
#include "base/text.h"
#include "policy/policy.h"
#include "policy/reasons.h"

#include <time.h>

/* RECENT_ENTRIES each of refused and of passed attempts: neither pushes the other out. */
enum { RECENT_ENTRIES = 100, RECENT_TEXT = 512, RECENT_NAME = 64 };

struct recent_entry {
    struct timespec at;
    struct addr source;
    enum reason reason; /* REASON_OK: the client passed */
    uint16_t version, suite, group;
    char listener[RECENT_NAME], connection_id[RECENT_NAME];
    char offered[RECENT_TEXT]; /* what the client offered, "" before a hello */
    char detail[RECENT_TEXT];
    int alert_sent, alert_received; /* -1: none */
};

struct recent;

WARN_UNUSED struct recent *recent_new(void);
void recent_free(struct recent *r);
/* From any thread. */
void recent_add(struct recent *r, const struct recent_entry *entry);
/* Newest first. */
void recent_put_html(struct recent *r, struct text *out);
void recent_put_json(struct recent *r, struct text *out);

#endif
