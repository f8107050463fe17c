#include "output.h"

#include "base/clock.h"
#include "base/diag.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { BATCH = 64, SLOW_MS = 200 };
static const int64_t second_ns = 1000000000;

static void add_checkpoint(struct output *o, const char *trigger);

/* An existing log continues with a checkpoint. There are never more than WRITER_CHECKPOINT_RECORDS
 * without a checkpoint, so that removed checkpoints show. False when out of memory: the item is
 * freed then. */
static bool add_pending(struct output *o, struct queued *i)
{
    bool checkpoint = i->line->stamp.action == AUDIT_LOG_CHECKPOINT;
    if (o->opening) {
        o->opening = false;
        add_checkpoint(o, "start");
    }
    if (!chain_seal(&o->sealed, &i->line->text)) {
        counters_add_lost(o->counters);
        counters_remove_queued(o->counters, i);
        queued_answer(i, false);
        queued_free(i);
        return false;
    }
    i->line->sealed = o->sealed;
    record_queue_add(&o->pending, i);
    o->unsigned_records = checkpoint ? 0 : o->unsigned_records + 1;
    if (checkpoint)
        o->unsigned_taken = 0;
    else if (i->line->stamp.action != AUDIT_LOG_REPAIRED &&
             i->line->stamp.action != AUDIT_LOG_DROPPED)
        o->unsigned_taken++;
    if (o->log->has_key && o->unsigned_records >= WRITER_CHECKPOINT_RECORDS)
        add_checkpoint(o, "interval");
    return true;
}

/* ---- the writer's own records ---- */

static struct queued *new_record(struct output *o, enum audit_action action, const char *detail,
                                 const struct audit_log *about, const struct audit_cut *cut,
                                 struct timespec at)
{
    struct text text = {0};
    struct audit_event e = {.action = action,
                            .at = at,
                            .origin = &o->origin,
                            .duration_ns = -1,
                            .detail = detail && *detail ? detail : NULL,
                            .alert_sent = -1,
                            .alert_received = -1,
                            .log = about,
                            .cut = cut};
    struct audit_stamp stamp = audit_render(&e, &text);
    o->own.number++;
    receipt_add(&o->own, at, &text);
    struct queued *i = queued_new(stamp, &text, NULL);
    if (!i) counters_add_lost(o->counters);
    return i;
}

static struct queued *own_record(struct output *o, enum audit_action action, const char *detail,
                                 const struct audit_log *about, struct timespec at)
{
    struct queued *i = new_record(o, action, detail, about, NULL, at);
    if (i) counters_add_queued(o->counters, i);
    return i;
}

static struct timespec now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return t;
}

struct queued *output_own_record(struct output *o, enum audit_action action, const char *detail,
                                 const struct audit_cut *cut)
{
    return new_record(o, action, detail, NULL, cut, now());
}

/* What was wrong with the log when it was opened. */
static struct queued *findings_record(struct output *o)
{
    struct logfile_findings *f = &o->log->findings;
    struct audit_log about = {
        .torn = &f->torn, .missing_from = f->missing_from, .missing_to = f->missing_to};
    if (!f->detail.size) return NULL;
    diag_warning("audit file %s: %s", o->log->path, text_string(&f->detail));
    struct queued *i = own_record(o, AUDIT_LOG_REPAIRED, text_string(&f->detail), &about, now());
    text_fini(&f->detail);
    text_fini(&f->torn);
    f->missing_from = f->missing_to = 0;
    return i;
}

/* The first checkpoint of a run names the end of the previous run. next: the key that it announces;
 * NULL: none. */
static bool sign(struct output *o, const char *trigger, const struct log_key *next)
{
    char when[CLOCK_TEXT_SIZE];
    struct text signature = {0};
    struct timespec at = now();
    bool added = false;
    struct chain *previous = &o->log->previous;
    const struct log_key *key = o->key_change.announced ? &o->key_change.next : &o->log->key;
    clock_format(at, when);
    struct audit_log about = {.trigger = trigger,
                              .head = &o->sealed,
                              .previous = previous->sequence ? previous : NULL,
                              .key_id = key->id,
                              .public_key = text_string(&key->public_base64),
                              .next_key_id = next ? next->id : NULL,
                              .next_public_key = next ? text_string(&next->public_base64) : NULL};
    const struct checkpoint_content content = {when, &o->sealed, previous, about.next_public_key};
    if (checkpoint_sign(key, &content, &signature)) {
        about.signature = text_string(&signature);
        struct queued *i = own_record(o, AUDIT_LOG_CHECKPOINT, NULL, &about, at);
        added = i && add_pending(o, i);
        if (added) previous->sequence = 0;
    } else {
        static int64_t last;
        if (diag_due(&last, 60 * second_ns)) diag_error("the audit log cannot be signed");
    }
    text_fini(&signature);
    return added;
}

/* After an upgrade a clerk has several keepers' records: it signs before the first one of each, and
 * after the last one. The verification expects that wherever one process follows another. */
static void sign_at_turn(struct output *o, enum audit_action next)
{
    bool turn = next == AUDIT_PROXY_STARTED || o->stopped;
    if (turn && o->log->has_key && o->unsigned_taken > 0) add_checkpoint(o, "interval");
    o->stopped = next == AUDIT_PROXY_STOPPED;
}

static void add_checkpoint(struct output *o, const char *trigger)
{
    (void)!sign(o, trigger, NULL);
}

void output_take(struct output *o, struct queued *items)
{
    while (items) {
        struct queued *i = items;
        items = i->next;
        sign_at_turn(o, i->line->stamp.action);
        (void)add_pending(o, i);
    }
}

/* ---- writing ---- */

static void add_to_mirrors(struct output *o, struct line *line)
{
    for (size_t i = 0; i < o->mirrors->n; i++) mirror_add(o->mirrors->items[i], line);
}

/* Removes the lines that are complete in the file, and calls back their waiting callers. */
static void account(struct output *o)
{
    bool any = false;
    while (o->pending.head && o->in_file >= o->pending.head->line->text.size) {
        struct queued *i = record_queue_take_first(&o->pending);
        o->in_file -= i->line->text.size;
        o->log->written = i->line->sealed;
        any = true;
        counters_remove_queued(o->counters, i);
        o->counters->written++;
        queued_answer(i, true);
        add_to_mirrors(o, i->line);
        queued_free(i);
    }
    if (!any) return;
    int64_t t = clock_steady_ns();
    logfile_note(o->log);
    if (o->unsigned_records == 0)
        o->checkpoint_ns = 0;
    else if (!o->checkpoint_ns && o->log->has_key)
        o->checkpoint_ns = t + WRITER_CHECKPOINT_S * second_ns;
    if (!o->sync_ns && o->sync == SYNC_INTERVAL) o->sync_ns = t + WRITER_SYNC_S * second_ns;
}

static size_t gather(const struct output *o, struct iovec parts[BATCH])
{
    size_t count = 0, skip = o->in_file;
    for (struct queued *i = o->pending.head; i && count < BATCH; i = i->next) {
        const struct text *t = &i->line->text;
        if (skip < t->size) parts[count++] = (struct iovec){t->data + skip, t->size - skip};
        skip = skip < t->size ? 0 : skip - t->size;
    }
    return count;
}

/* After a failed sync the pages may be lost: the next attempt writes the batch again. */
static bool sync_batch(struct output *o)
{
    o->rewrite = !logfile_sync(o->log);
    return !o->rewrite;
}

/* The same for records no longer kept: the log records the failure when the disk works again. */
static bool sync_all(struct output *o)
{
    if (!logfile_sync(o->log)) {
        o->sync_fault = errno;
        return false;
    }
    o->sync_ns = 0;
    if (o->sync_fault) {
        text_printf(&o->log->findings.detail,
                    "The disk had an error (%s) with the records %" PRIu64 " to %" PRIu64
                    ": they may not be on it.",
                    strerror(o->sync_fault), o->synced + 1, o->log->written.sequence);
        o->sync_fault = 0;
        struct queued *i = findings_record(o);
        if (i) add_pending(o, i);
    }
    o->synced = o->log->written.sequence;
    return true;
}

/* False, with errno, when writing or syncing failed. */
static bool write_batch(struct output *o)
{
    struct iovec parts[BATCH];
    if (o->rewrite && logfile_cut(o->log, o->in_file)) o->in_file = 0;
    size_t count = gather(o, parts);
    if (count > 0) {
        ssize_t n = logfile_write(o->log, parts, count);
        if (n < 0 && errno == EINTR) return true;
        struct pollfd slow = {.fd = o->log->fd, .events = POLLOUT};
        if (n < 0 && errno == EAGAIN && poll(&slow, 1, SLOW_MS) > 0 && slow.revents == POLLOUT)
            return true; /* the reader is only slow */
        if (n <= 0) {
            if (n == 0) errno = ENOSPC;
            return false;
        }
        o->in_file += (size_t)n;
    }
    if (o->sync == SYNC_RECORD && !sync_batch(o)) return false;
    account(o);
    return true;
}

static void begin_failing(struct output *o, int fault)
{
    if (!o->counters->failing)
        diag_error("the audit file cannot be written (%s): new connections are refused until it "
                   "can",
                   strerror(fault));
    o->counters->failing = true;
    /* Tell waiting callers that it is not written; the record stays queued. */
    for (struct queued *i = o->pending.head; i; i = i->next) queued_answer(i, false);
}

static void end_failing(struct output *o)
{
    if (o->counters->failing) diag_info("the audit file can be written again");
    o->counters->failing = false;
}

/* ---- another chain, or another file ---- */

/* Seals the pending records again, after those that a new file begins with. */
static void reseal(struct output *o)
{
    struct queued *items = o->pending.head;
    if (items) key_change_abandon(&o->key_change); /* its announcement is among them */
    record_queue_clear(&o->pending);
    o->sealed = o->log->written;
    if (o->trigger && o->log->has_key && o->sealed.sequence) add_checkpoint(o, o->trigger);
    struct queued *first = findings_record(o);
    if (first) add_pending(o, first);
    while (items) {
        struct queued *i = items;
        items = i->next;
        if (i->line->stamp.action == AUDIT_LOG_CHECKPOINT) { /* of the former chain */
            counters_remove_queued(o->counters, i);
            queued_free(i);
            continue;
        }
        i->line->text.size = i->line->open_size;
        add_pending(o, i);
    }
}

/* The deleted file's records are lost; the pending ones go into a new file. */
static bool replace_deleted(struct output *o)
{
    struct text errors = {0};
    int fd = logfile_open_again(o->log->path, &errors);
    int fault = errno;
    text_fini(&errors);
    errno = fault;
    if (fd < 0 || !logfile_change(o->log, fd)) return false;
    logfile_restore(o->log);
    o->in_file = 0;
    o->rewrite = false;
    text_printf(
        &o->log->findings.detail,
        "The audit file was deleted while it was written; it held the records up to %" PRIu64 ".",
        o->log->written.sequence);
    o->trigger = "rotation";
    reseal(o);
    o->trigger = NULL;
    return true;
}

/* ---- work ---- */

/* False, with errno, when something is left. */
static bool flush(struct output *o)
{
    if (o->pending.head && logfile_is_gone(o->log) && !replace_deleted(o)) return false;
    while (o->pending.head) {
        if (!write_batch(o)) return false;
        if (o->pending.head && !o->in_file) o->batch_done(o->context, true);
    }
    return true;
}

static void report_lost(struct output *o)
{
    size_t lost = o->counters->lost;
    if (lost == o->lost_reported) return;
    struct audit_log about = {.sink = "file", .dropped = lost - o->lost_reported};
    char detail[RECEIPT_SENDER + 32];
    snprintf(detail, sizeof detail, "%s%sThere was no memory.", o->lost_by,
             o->lost_by[0] ? ": " : "");
    struct queued *i = own_record(o, AUDIT_LOG_DROPPED, detail, &about, now());
    if (!i) return;
    add_pending(o, i);
    o->lost_reported = lost;
    o->lost_by[0] = '\0';
}

/* Only what follows the first record of this process. */
static int64_t key_due(const struct output *o)
{
    return o->opening || !o->sealed.sequence ? 0 : o->key_change.due_ns;
}

/* All records are in the file. The old key announces the next one; once that is on the disk, the
 * next one takes its place. False with errno. */
static bool change_key(struct output *o, int64_t t)
{
    struct key_change *c = &o->key_change;
    int64_t due = key_due(o);
    if (due && t >= due && key_change_prepare(c)) {
        c->announced = sign(o, "key", &c->next);
        if (!c->announced) key_change_abandon(c);
        if (!flush(o)) return false;
    }
    if (!c->announced) return true;
    if (!logfile_sync(o->log)) return false;
    key_change_commit(c, &o->log->key);
    return true;
}

/* Checkpoints and syncs that are due, once all records are in the file. False with errno. */
static bool run_due(struct output *o)
{
    int64_t t = clock_steady_ns();
    report_lost(o);
    bool due = o->trigger || (o->checkpoint_ns && t >= o->checkpoint_ns);
    /* The last word of a process that has written one. */
    bool last_word =
        o->trigger && strcmp(o->trigger, "stop") == 0 && !o->opening && o->sealed.sequence > 0;
    if (due && o->log->has_key && (o->unsigned_records > 0 || last_word)) {
        logfile_restore(o->log);
        add_checkpoint(o, o->trigger ? o->trigger : "interval");
        o->trigger = NULL;
    }
    if (!flush(o) || !change_key(o, t)) return false;
    if (o->sync_ns && t >= o->sync_ns && !sync_all(o)) return false;
    return flush(o);
}

bool output_work(struct output *o)
{
    bool ok = flush(o) && run_due(o);
    if (ok)
        end_failing(o);
    else
        begin_failing(o, errno);
    return ok;
}

/* ---- another file ---- */

/* What cannot be written now goes into the next file. Sync failures are recorded before the last
 * checkpoint. */
void output_conclude(struct output *o, const char *trigger)
{
    if (!output_work(o)) return;
    bool synced = o->sync == SYNC_NONE || sync_all(o);
    o->trigger = trigger;
    if (!output_work(o)) return;
    o->trigger = NULL;
    if (!synced || (o->sync != SYNC_NONE && !logfile_sync(o->log)))
        diag_error("audit file %s: %s", o->log->path, strerror(errno));
}

/* Only whole lines stay in the file; an incomplete one goes into the next file. */
static void leave_file(struct output *o)
{
    account(o);
    o->rewrite = false;
    if (!logfile_cut(o->log, o->in_file))
        diag_warning("audit file %s ends in half a line", o->log->path);
    o->in_file = 0;
}

static void rotate(struct output *o, int fd)
{
    if (logfile_is_open_on(o->log, fd)) { /* nothing was rotated */
        close(fd);
        return;
    }
    output_conclude(o, "rotation");
    leave_file(o);
    if (!logfile_change(o->log, fd)) {
        diag_error("audit file %s: the old one stays in use", o->log->path);
        return;
    }
    logfile_restore(o->log);
    struct queued *i = findings_record(o);
    if (i) add_pending(o, i);
    /* A checkpoint first: the new file can then be verified alone. */
    if (o->log->has_key) add_checkpoint(o, "rotation");
}

void output_begin(struct output *o, struct logfile *log)
{
    o->log = log;
    o->checkpoint_ns = o->sync_ns = 0;
    o->synced = log->written.sequence;
    o->sync_fault = 0;
    o->stopped = false;
    o->unsigned_records = o->unsigned_taken = 0;
    key_change_begin(&o->key_change, log->has_key && log->regular ? log->key_path : NULL);
    o->opening = log->has_key && log->written.sequence > 0;
    /* A new log has its first checkpoint after its first records. */
    o->trigger = o->opening ? NULL : "start";
    if (o->pending.head || log->findings.detail.size)
        reseal(o);
    else
        o->sealed = log->written;
}

void output_change(struct output *o, struct change change)
{
    o->sync = change.sync;
    if (change.fd >= 0) rotate(o, change.fd);
    if (!change.log) return;
    output_conclude(o, "stop");
    leave_file(o);
    logfile_close(o->log);
    output_begin(o, change.log);
}

int64_t output_due(const struct output *o)
{
    const int64_t all[] = {o->checkpoint_ns, o->sync_ns, key_due(o)};
    int64_t first = 0;
    for (size_t i = 0; i < COUNT_OF(all); i++)
        if (all[i] && (!first || all[i] < first)) first = all[i];
    return first;
}

size_t output_fini(struct output *o)
{
    size_t left = o->counters->lost;
    key_change_abandon(&o->key_change);
    for (; o->pending.head; left++) queued_free(record_queue_take_first(&o->pending));
    logfile_close(o->log);
    return left;
}
