#include "audit/verify.h"

#include "audit/checkpoint.h"
#include "audit/entry.h"
#include "audit/runs.h"
#include "audit/writer.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct place {
    const char *file;
    uint64_t number;
};

/* What is wrong at one line, until the lines behind it have told what it was. */
struct suspect {
    bool is, gap, reordered, repeated;
    struct place place;
    uint64_t sequence; /* that the line has; 0: it is no sealed line */
    bool first_of_file, ended;
};

struct verify {
    struct span given_key;
    char given_id[LOG_KEY_ID + 1];
    struct verify_summary found;
    bool has_state;
    struct chain state; /* the last record that was written, as the state file says */
    struct chain chain; /* the last good record */
    char first_hash[CHAIN_HASH];
    bool begun;
    const char *file;
    struct suspect suspect;
    bool stopped;         /* the last record but for checkpoints says so */
    bool starting;        /* the last record is a process's first */
    uint64_t own_records; /* in a row, the last ones: those about the log itself */
    uint64_t chain_checkpoints;
    struct runs runs;
    struct place anew;        /* where this run begins */
    uint64_t unsigned_before; /* records at the end of the run before */
    /* The run before has no checkpoint, although there are some: this run has to name its end. */
    bool unvouched;
    struct place unvouched_at;
    uint64_t unvouched_record;
};

struct verify *verify_new(struct span spki, const struct chain *state)
{
    struct verify *v = calloc(1, sizeof *v);
    if (!v) return NULL;
    v->given_key = spki;
    v->has_state = v->found.state_given = state != NULL;
    if (state) v->state = *state;
    chain_begin(&v->chain);
    v->found.key_given = spki.n > 0;
    v->found.chains = 1;
    if (runs_init(&v->runs) && (!spki.n || log_key_id(spki, v->given_id))) return v;
    verify_free(v);
    return NULL;
}

void verify_free(struct verify *v)
{
    if (!v) return;
    runs_fini(&v->runs);
    text_fini(&v->found.sentence);
    text_fini(&v->found.notes);
    free(v);
}

static void note(struct verify *v, const char *format, ...) PRINTF(2, 3);

static void note(struct verify *v, const char *format, ...)
{
    char line[512];
    va_list args;
    if (++v->found.note_count > VERIFY_NOTES) return;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    text_printf(&v->found.notes, "%s\n", line);
}

static void judge(struct verify *v, enum verify_fault fault, struct place place, uint64_t sequence,
                  const char *format, ...) PRINTF(5, 6);

static void judge(struct verify *v, enum verify_fault fault, struct place place, uint64_t sequence,
                  const char *format, ...)
{
    char line[512];
    va_list args;
    if (v->found.fault != VERIFY_INTACT) return;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    text_add(&v->found.sentence, line);
    v->found.fault = fault;
    v->found.fault_file = place.file;
    v->found.fault_line = place.number;
    v->found.fault_record = sequence;
}

/* ---- one good record ---- */

static bool is_action(const char *name, enum audit_action action)
{
    return strcmp(name, audit_action_name(action)) == 0;
}

/* With the key that was given, else with the one that the checkpoint itself names. */
static bool signature_holds(const struct verify *v, const struct checkpoint *c)
{
    uint8_t spki[LOG_SPKI_LIMIT];
    char id[LOG_KEY_ID + 1];
    size_t n;
    struct span key = v->given_key;
    if (!key.n) {
        if (!base64_decode(c->public_key, strlen(c->public_key), spki, sizeof spki, &n))
            return false;
        key = (struct span){spki, n};
    }
    return log_key_id(key, id) && strcmp(id, c->key_id) == 0 &&
           checkpoint_valid(key, c->time, &c->head, &c->previous, c->signature);
}

/* Of a record that a process writes first. A log on standard output has no checkpoint there. */
static void note_crash(struct verify *v, uint64_t sequence)
{
    if (!v->stopped && v->found.records > 0)
        note(v,
             "The process that wrote the records before %" PRIu64
             " ended without its last word (a crash or a kill); %" PRIu64
             " of them were not signed then.",
             sequence, v->found.unsigned_records);
    v->stopped = true;
}

static bool checkpoint_fits(struct verify *v, const struct checkpoint *c, struct place place,
                            uint64_t sequence)
{
    if (v->given_key.n && strcmp(c->key_id, v->given_id) != 0)
        judge(v, VERIFY_CHANGED, place, sequence,
              "the checkpoint is signed with another key (%.16s...) than the one given", c->key_id);
    else if (c->head.sequence + 1 != sequence || strcmp(c->head.hash, v->chain.hash) != 0 ||
             !signature_holds(v, c))
        judge(v, VERIFY_CHANGED, place, sequence,
              "the checkpoint's signature does not fit: records after %" PRIu64
              ", up to this one, were changed and chained again",
              v->found.signed_up_to);
    return v->found.fault == VERIFY_INTACT;
}

/* The first checkpoint of a run names the end of the one before. */
static bool take_link(struct verify *v, const struct checkpoint *c, struct place place,
                      uint64_t sequence)
{
    uint64_t last = v->runs.before.last;
    if (!c->previous.sequence || v->chain_checkpoints) return true;
    switch (runs_link(&v->runs, &c->previous)) {
    case RUN_OUTSIDE:
        v->found.outside = c->previous.sequence;
        return true;
    case RUN_MISSING:
        judge(v, VERIFY_REMOVED, place, sequence,
              "the run before this one ended with a record %" PRIu64
              " that is not in what stands in front of it: that run, or its end, is missing",
              c->previous.sequence);
        return false;
    default:
        v->unvouched = false;
        if (c->previous.sequence < last)
            note(v,
                 "The run that begins at %s line %" PRIu64 " names record %" PRIu64
                 " as the last one before it; %" PRIu64
                 " more are there: they were written as that process, or the machine, died.",
                 v->anew.file, v->anew.number, c->previous.sequence, last - c->previous.sequence);
        return true;
    }
}

static bool take_checkpoint(struct verify *v, const struct checkpoint *c, struct place place,
                            uint64_t sequence)
{
    if (!checkpoint_fits(v, c, place, sequence) || !take_link(v, c, place, sequence)) return false;
    /* The first checkpoint of a new chain stands behind its first records. */
    if (c->at_start && v->chain_checkpoints && !v->starting) note_crash(v, sequence);
    if (v->found.key_id[0] && strcmp(v->found.key_id, c->key_id) != 0)
        note(v, "From record %" PRIu64 " on the log is signed with another key.", sequence);
    memcpy(v->found.key_id, c->key_id, sizeof v->found.key_id);
    v->found.checkpoints++;
    v->chain_checkpoints++;
    if (c->at_stop) v->stopped = true;
    v->found.signed_up_to = c->head.sequence;
    v->found.unsigned_records = 0;
    v->starting = false;
    return true;
}

/* A process signs what it finds before it goes on, and what it leaves. */
static bool signed_at_turns(struct verify *v, const char *action, bool own, struct place place,
                            uint64_t sequence)
{
    bool turn = is_action(action, AUDIT_PROXY_STARTED) || (v->stopped && !own);
    if (v->found.checkpoints && turn && v->found.unsigned_records > v->own_records)
        judge(v, VERIFY_REMOVED, place, sequence,
              "there is no checkpoint where a process ended and the next one began: it was removed "
              "and the rest chained again");
    else if (v->found.checkpoints && v->found.unsigned_records >= WRITER_CHECKPOINT_RECORDS)
        judge(v, VERIFY_REMOVED, place, sequence,
              "there is no checkpoint after %d records: the checkpoints behind record %" PRIu64
              " were removed and the rest chained again",
              WRITER_CHECKPOINT_RECORDS, v->found.signed_up_to);
    return v->found.fault == VERIFY_INTACT;
}

static bool take_record(struct verify *v, const char *action, struct place place, uint64_t sequence)
{
    bool repair = is_action(action, AUDIT_LOG_REPAIRED);
    bool own = repair || is_action(action, AUDIT_LOG_DROPPED);
    if (!signed_at_turns(v, action, own, place, sequence)) return false;
    if (repair) note(v, "Record %" PRIu64 " tells of a repair: see its message.", sequence);
    if (own && !repair)
        note(v, "Record %" PRIu64 " tells of records that a sink did not get.", sequence);
    v->starting = is_action(action, AUDIT_PROXY_STARTED);
    if (v->starting) note_crash(v, sequence);
    if (!own) v->stopped = is_action(action, AUDIT_PROXY_STOPPED);
    v->own_records = own ? v->own_records + 1 : 0;
    v->found.unsigned_records++;
    return true;
}

static bool state_agrees(struct verify *v, const struct chain_line *sealed, struct place place)
{
    if (!v->has_state || sealed->sequence != v->state.sequence ||
        memcmp(sealed->hash, v->state.hash, CHAIN_HASH) == 0)
        return true;
    judge(v, VERIFY_CHANGED, place, sealed->sequence,
          "this is not the record that was written under this number (the state file says so)");
    return false;
}

/* What the first run names as the end of the one before it stands behind that run. */
static bool runs_in_order(struct verify *v, const struct chain_line *sealed, struct place place)
{
    if (!runs_wants(&v->runs, sealed->sequence, sealed->hash)) return true;
    judge(v, VERIFY_REORDERED, place, sealed->sequence,
          "the run that ends with this record should stand in front of the first one");
    return false;
}

static void take_good(struct verify *v, struct place place, const struct line_view *line,
                      const struct chain_line *sealed)
{
    struct checkpoint c;
    char action[ENTRY_ACTION];
    bool plain_close;
    entry_peek_action(line, action, &plain_close);
    bool checkpoint = is_action(action, AUDIT_LOG_CHECKPOINT) && checkpoint_read(line, &c);
    bool good = state_agrees(v, sealed, place) && runs_in_order(v, sealed, place) &&
                (checkpoint ? take_checkpoint(v, &c, place, sealed->sequence)
                            : take_record(v, action, place, sealed->sequence));
    if (!good) return;
    if (!v->begun) {
        v->found.first_sequence = sealed->sequence;
        memcpy(v->first_hash, sealed->hash, CHAIN_HASH);
        entry_peek_time(line->p, line->n, v->found.first_time);
    }
    entry_peek_time(line->p, line->n, v->found.last_time);
    v->begun = true;
    runs_add(&v->runs, sealed->sequence, sealed->hash);
    v->found.records++;
    v->found.last_sequence = v->chain.sequence = sealed->sequence;
    memcpy(v->chain.hash, sealed->hash, CHAIN_HASH);
}

static bool follows(const char *previous, const struct line_view *line,
                    const struct chain_line *sealed)
{
    char hash[CHAIN_HASH + 1];
    return chain_hash(previous, line->p, sealed->covered, hash) &&
           memcmp(hash, sealed->hash, CHAIN_HASH) == 0;
}

/* The first record of all: what is before it is not known, unless it is number 1 or a
 * checkpoint, which names it. */
static bool begin(struct verify *v, const struct line_view *line, const struct chain_line *sealed)
{
    struct checkpoint c;
    char action[ENTRY_ACTION];
    bool plain_close;
    entry_peek_action(line, action, &plain_close);
    v->found.anchored = true;
    if (sealed->sequence == 1) return follows(v->chain.hash, line, sealed);
    if (is_action(action, AUDIT_LOG_CHECKPOINT) && checkpoint_read(line, &c) &&
        c.head.sequence + 1 == sealed->sequence) {
        memcpy(v->chain.hash, c.head.hash, CHAIN_HASH);
        return follows(v->chain.hash, line, sealed);
    }
    v->found.anchored = false;
    return true;
}

/* ---- what is wrong ---- */

/* The lines behind a suspect one tell what happened. */
static void look_behind_suspect(struct verify *v, const struct line_view *line,
                                const struct chain_line *sealed, bool next_file)
{
    struct suspect *s = &v->suspect;
    uint64_t expected = v->chain.sequence + 1;
    bool in_its_place =
        sealed && sealed->sequence == expected && follows(v->chain.hash, line, sealed);
    if (s->gap) {
        s->reordered = s->reordered ||
                       (sealed && sealed->sequence >= expected && sealed->sequence < s->sequence);
        s->repeated = s->repeated || (sealed && sealed->sequence == s->sequence);
        return;
    }
    if (!s->ended && next_file)
        judge(v, VERIFY_CUT, s->place, expected, "the file ends in the middle of this record");
    else if (in_its_place && v->begun)
        judge(v, VERIFY_INSERTED, s->place, s->sequence ? s->sequence : expected,
              s->sequence ? "another record with this number follows, and that one fits: this one "
                            "was inserted"
                          : "this line is no record of the log: it was inserted");
    else
        judge(v, VERIFY_CHANGED, s->place, expected,
              s->sequence ? "its hash does not fit its bytes and the record before it: it was "
                            "changed, or that one together with its hash"
                          : "this line cannot be read as a record: it was changed");
}

static const char *are_missing(uint64_t from, uint64_t to, char out[96])
{
    if (from == to)
        snprintf(out, 96, "record %" PRIu64 " is missing", from);
    else
        snprintf(out, 96, "records %" PRIu64 " to %" PRIu64 " are missing", from, to);
    return out;
}

static void conclude_gap(struct verify *v)
{
    const struct suspect *s = &v->suspect;
    uint64_t from = v->chain.sequence + 1;
    char missing[96];
    are_missing(from, s->sequence - 1, missing);
    if (s->repeated)
        judge(v, VERIFY_INSERTED, s->place, s->sequence,
              "a record with this number stands further on as well: this one was inserted");
    else if (s->reordered)
        judge(v, VERIFY_REORDERED, s->place, s->sequence,
              "record %" PRIu64 " should stand here, and stands further on", from);
    else if (s->first_of_file)
        judge(v, VERIFY_CUT, s->place, from,
              "%s in front of this file: the one before was cut at its end, or is not among those "
              "given",
              missing);
    else
        judge(v, VERIFY_REMOVED, s->place, from, "%s in front of this line", missing);
}

static void suspect(struct verify *v, struct place place, const struct line_view *line,
                    const struct chain_line *sealed, bool first_of_file)
{
    v->suspect = (struct suspect){.is = true,
                                  .place = place,
                                  .sequence = sealed ? sealed->sequence : 0,
                                  .gap = sealed && sealed->sequence > v->chain.sequence + 1,
                                  .first_of_file = first_of_file,
                                  .ended = line->ended};
}

/* A log whose process has no state (standard output) begins a new chain at each start. */
static bool begins_anew(const struct verify *v, const struct line_view *line,
                        const struct chain_line *sealed)
{
    struct chain none;
    chain_begin(&none);
    return sealed->sequence == 1 && v->begun && !v->has_state &&
           memcmp(sealed->hash, v->first_hash, CHAIN_HASH) != 0 && follows(none.hash, line, sealed);
}

static bool judge_unvouched(struct verify *v)
{
    if (v->unvouched)
        judge(v, VERIFY_REMOVED, v->unvouched_at, v->unvouched_record,
              "the chain that ends here has no checkpoint: any of its records may be another's "
              "work");
    return v->found.fault == VERIFY_INTACT;
}

/* The run that ends here, at the end of all or in front of the next one. Where something is signed,
 * or has to be, each run is, or the next one names its end. */
static bool end_run(struct verify *v, struct place place)
{
    if (!judge_unvouched(v)) return false;
    if (!runs_end(&v->runs))
        note(v,
             "A new chain begins at %s line %" PRIu64 " and does not name the one before it, of "
             "which %" PRIu64 " records at the end were not signed.",
             v->anew.file, v->anew.number, v->unsigned_before);
    v->found.unlinked = v->runs.unlinked;
    v->unvouched = !v->chain_checkpoints && (v->found.checkpoints || v->given_key.n);
    v->unvouched_at = place;
    v->unvouched_record = v->chain.sequence;
    return true;
}

static bool begin_anew(struct verify *v, struct place place)
{
    if (!end_run(v, place)) return false;
    runs_begin(&v->runs);
    v->anew = place;
    v->unsigned_before = v->found.unsigned_records;
    chain_begin(&v->chain);
    v->found.chains++;
    v->found.signed_up_to = v->found.unsigned_records = 0;
    v->own_records = v->chain_checkpoints = 0;
    v->stopped = true;
    return true;
}

static void take_in_order(struct verify *v, struct place place, const struct line_view *line,
                          const struct chain_line *sealed, bool first_of_file)
{
    bool next = sealed->sequence == v->chain.sequence + 1;
    if (!v->begun && !begin(v, line, sealed)) {
        judge(v, VERIFY_CHANGED, place, sealed->sequence,
              "its hash does not fit its bytes: it was changed");
    } else if (!v->begun || (next && follows(v->chain.hash, line, sealed))) {
        take_good(v, place, line, sealed);
    } else if (begins_anew(v, line, sealed)) {
        if (begin_anew(v, place)) take_good(v, place, line, sealed);
    } else if (sealed->sequence <= v->chain.sequence) {
        judge(v, VERIFY_INSERTED, place, sealed->sequence,
              "a record with this number stands before it already: one of the two was inserted");
    } else {
        suspect(v, place, line, sealed, first_of_file);
    }
}

/* The run that was missed follows further on. */
static void look_for_run(struct verify *v, const struct chain_line *sealed)
{
    if (!runs_wants(&v->runs, sealed->sequence, sealed->hash)) return;
    v->found.fault = VERIFY_REORDERED;
    v->found.sentence.size = 0;
    text_printf(&v->found.sentence,
                "the run before this one, which ended with record %" PRIu64
                ", should stand in front of it, and stands further on",
                sealed->sequence);
}

void verify_line(struct verify *v, const char *file, uint64_t number, const struct line_view *line)
{
    struct chain_line sealed;
    struct place place = {file, number};
    bool first_of_file = file != v->file;
    if (first_of_file) v->found.files++;
    v->file = file;
    bool readable = line->ended && chain_read(line->p, line->n, &sealed);
    v->found.sealed_lines += readable;
    if (v->found.fault == VERIFY_REMOVED && readable) look_for_run(v, &sealed);
    if (v->found.fault != VERIFY_INTACT) return;
    if (v->suspect.is)
        look_behind_suspect(v, line, readable ? &sealed : NULL, first_of_file);
    else if (readable)
        take_in_order(v, place, line, &sealed, first_of_file);
    else
        suspect(v, place, line, NULL, first_of_file);
}

static void end_suspect(struct verify *v)
{
    struct suspect *s = &v->suspect;
    if (!s->is || v->found.fault != VERIFY_INTACT) return;
    if (s->gap)
        conclude_gap(v);
    else if (!s->sequence && !s->ended && v->begun)
        note(v, "The last line is not complete: it is being written, or the process ended in the "
                "middle of it. It is repaired at the next start.");
    else
        look_behind_suspect(v, &(struct line_view){"", 0, true}, NULL, false);
}

void verify_end(struct verify *v)
{
    struct place end = {v->file ? v->file : "", 0};
    end_suspect(v);
    if (v->found.fault != VERIFY_INTACT) return;
    if (v->has_state && v->state.sequence > v->chain.sequence)
        judge(v, VERIFY_CUT, end, v->chain.sequence + 1,
              "records %" PRIu64 " to %" PRIu64 " were written (the state file says so) and are "
              "not there: the log was cut at its end, or rotated files are not given",
              v->chain.sequence + 1, v->state.sequence);
    if (v->begun && end_run(v, end)) judge_unvouched(v);
}

const struct verify_summary *verify_summary(const struct verify *v)
{
    return &v->found;
}
