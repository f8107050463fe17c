#include "processes.h"

#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Ids in a record: they fit. */
enum { IDS_MOST = 250 };

static void name_of(const char *sender, char name[RECEIPT_SENDER])
{
    snprintf(name, RECEIPT_SENDER, "%s", sender);
    char *dash = strrchr(name, '-');
    if (dash) *dash = '\0';
}

static struct process *find(struct process **all, const char *sender, bool known)
{
    char name[RECEIPT_SENDER];
    name_of(sender, name);
    for (struct process *p = *all; p; p = p->next)
        if (strcmp(p->name, name) == 0) return p;
    struct process *p = calloc(1, sizeof *p);
    if (!p) return NULL;
    memcpy(p->name, name, sizeof p->name);
    p->opened.missed = known;
    p->next = *all;
    *all = p;
    return p;
}

struct process *processes_join(struct process **all, const char *sender, bool known)
{
    struct process *p = find(all, sender, known);
    if (p) p->channels++;
    return p;
}

bool processes_end(struct process **all, const char *sender, const char *how)
{
    struct process *p = find(all, sender, true);
    if (p && !p->how) p->how = text_copy(how, strlen(how));
    return p && p->how;
}

/* The ids of one record at a time. */
struct listing {
    struct writer *writer;
    const char *detail;
    struct audit_cut cut;
    const char *ids[IDS_MOST];
    bool any;
};

static void write_out(struct listing *l)
{
    l->cut.ids = l->ids;
    writer_submit_own(l->writer, AUDIT_PROCESS_ENDED, l->detail, &l->cut);
    l->cut.n = 0;
    l->any = true;
}

static void list_one(void *arg, const char *id)
{
    struct listing *l = arg;
    if (l->cut.n == IDS_MOST) write_out(l);
    l->ids[l->cut.n++] = id;
}

static void report(const struct process *p, struct writer *w)
{
    struct text detail = {0};
    text_printf(&detail, "%s It had %s%zu connection%s open.", p->how,
                p->opened.missed ? "at least " : "", p->opened.count,
                p->opened.count == 1 ? "" : "s");
    struct listing l = {.writer = w,
                        .detail = text_string(&detail),
                        .cut = {.count = p->opened.count, .complete = !p->opened.missed}};
    opened_each(&p->opened, list_one, &l);
    if (l.cut.n > 0 || !l.any) write_out(&l);
    text_fini(&detail);
}

static void process_free(struct process *p)
{
    opened_fini(&p->opened);
    free(p->how);
    free(p);
}

void processes_report(struct process **all, struct writer *w)
{
    for (struct process **at = all; *at;) {
        struct process *p = *at;
        if (!p->how || p->channels > 0) {
            at = &p->next;
            continue;
        }
        *at = p->next;
        if (*p->how) report(p, w);
        process_free(p);
    }
}

void processes_free(struct process **all)
{
    while (*all) {
        struct process *p = *all;
        *all = p->next;
        process_free(p);
    }
}
