/* Checks the order of the lines, and finds out what is wrong. verify_record.c reads the lines that
 * are in order. */
#include "verify_impl.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool verify_keys_init(struct verify_keys *keys, const struct span *spki, size_t n)
{
    *keys = (struct verify_keys){.items = calloc(n + 1, sizeof *keys->items), .n = n};
    for (size_t i = 0; keys->items && i < n; i++) {
        keys->items[i].spki = spki[i];
        if (log_key_id(spki[i], keys->items[i].id)) continue;
        verify_keys_fini(keys);
        return false;
    }
    return keys->items != NULL;
}

void verify_keys_fini(struct verify_keys *keys)
{
    free(keys->items);
    free(keys->signers);
    *keys = (struct verify_keys){.n = 0};
}

struct verify *verify_new(struct verify_keys *keys, const char *instance, const struct chain *state)
{
    struct verify *v = calloc(1, sizeof *v);
    if (!v) return NULL;
    v->keys = keys;
    v->has_state = v->found.state_given = state != NULL;
    if (state) v->state = *state;
    chain_begin(&v->chain);
    text_fill(v->found.instance, sizeof v->found.instance, instance);
    v->found.key_given = keys->n > 0;
    v->found.chains = 1;
    if (runs_init(&v->runs)) return v;
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

void verify_note(struct verify *v, const char *format, ...)
{
    char line[512];
    va_list args;
    if (++v->found.note_count > VERIFY_NOTES) return;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    text_printf(&v->found.notes, "%s\n", line);
}

void verify_judge(struct verify *v, enum verify_fault fault, struct log_position place,
                  uint64_t sequence, const char *format, ...)
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

static bool follows(const char *previous, const struct line_view *line,
                    const struct chain_line *sealed)
{
    char hash[CHAIN_HASH + 1];
    return chain_hash(previous, line->p, sealed->covered, hash) &&
           memcmp(hash, sealed->hash, CHAIN_HASH) == 0;
}

bool verify_continues(const struct verify *v, const struct line_view *line)
{
    struct chain_line sealed;
    return v->begun && chain_read(line->p, line->n, &sealed) &&
           sealed.sequence == v->chain.sequence + 1 && follows(v->chain.hash, line, &sealed);
}

bool verify_ends_at(const struct verify *v, const struct chain *last)
{
    return v->begun && v->chain.sequence == last->sequence &&
           memcmp(v->chain.hash, last->hash, CHAIN_HASH) == 0;
}

bool verify_has_key(const struct verify *v, const char *id)
{
    return id[0] && (strcmp(v->found.key_id, id) == 0 || strcmp(v->next_id, id) == 0);
}

/* The very first record: what preceded it is unknown, unless it is number 1 or a checkpoint, which
 * names it. */
static bool begin(struct verify *v, const struct line_view *line, const struct chain_line *sealed)
{
    struct checkpoint c;
    char action[ENTRY_ACTION];
    bool plain_close;
    entry_peek_action(line, action, &plain_close);
    v->found.anchored = true;
    if (sealed->sequence == 1) return follows(v->chain.hash, line, sealed);
    if (verify_is_action(action, AUDIT_LOG_CHECKPOINT) && checkpoint_read(line, &c) &&
        c.head.sequence + 1 == sealed->sequence) {
        memcpy(v->chain.hash, c.head.hash, CHAIN_HASH);
        return follows(v->chain.hash, line, sealed);
    }
    v->found.anchored = false;
    return true;
}

/* ---- what is wrong ---- */

/* The lines after a suspect one show what happened. */
static void check_after_suspect(struct verify *v, const struct line_view *line,
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
        verify_judge(v, VERIFY_CUT, s->place, expected,
                     "the file ends in the middle of this record");
    else if (in_its_place && v->begun)
        verify_judge(v, VERIFY_INSERTED, s->place, s->sequence ? s->sequence : expected,
                     s->sequence
                         ? "another record with this number follows, and that one fits: this one "
                           "was inserted"
                         : "this line is no record of the log: it was inserted");
    else
        verify_judge(v, VERIFY_CHANGED, s->place, expected,
                     s->sequence
                         ? "its hash does not fit its bytes and the record before it: it was "
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
        verify_judge(v, VERIFY_INSERTED, s->place, s->sequence,
                     "a record with this number stands further on as well: this one was inserted");
    else if (s->reordered)
        verify_judge(v, VERIFY_REORDERED, s->place, s->sequence,
                     "record %" PRIu64 " should stand here, and stands further on", from);
    else if (s->first_of_file)
        verify_judge(
            v, VERIFY_CUT, s->place, from,
            "%s in front of this file: the one before was cut at its end, or is not among those "
            "given",
            missing);
    else
        verify_judge(v, VERIFY_REMOVED, s->place, from, "%s in front of this line", missing);
}

static void suspect(struct verify *v, struct log_position place, const struct line_view *line,
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
        verify_judge(
            v, VERIFY_REMOVED, v->unvouched_at, v->unvouched_record,
            "the chain that ends here has no checkpoint: any of its records may be another's "
            "work");
    return v->found.fault == VERIFY_INTACT;
}

/* Checks the run that ends here. If anything is signed, or must be, each run has to be signed or
 * the next one has to name its end. */
static bool end_run(struct verify *v, struct log_position place)
{
    if (!judge_unvouched(v)) return false;
    if (!runs_end(&v->runs))
        verify_note(v,
                    "A new chain begins at %s line %" PRIu64
                    " and does not name the one before it, of "
                    "which %" PRIu64 " records at the end were not signed.",
                    v->anew.file, v->anew.number, v->unsigned_before);
    v->found.unlinked = v->runs.unlinked;
    v->unvouched = !v->chain_checkpoints && (v->found.checkpoints || v->keys->n);
    v->unvouched_at = place;
    v->unvouched_record = v->chain.sequence;
    return true;
}

static void judge_again(struct verify *v, struct log_position place, uint64_t sequence)
{
    verify_judge(v, VERIFY_INSERTED, place, sequence,
                 "a record with this number stands before it already: one of the two was inserted");
}

/* What was read before it is checked now. */
void verify_take_state(struct verify *v, const struct chain *state)
{
    if (v->has_state) return;
    v->has_state = v->found.state_given = true;
    v->state = *state;
    if (v->found.chains > 1) judge_again(v, v->anew, 1);
    if (v->begun && state->sequence == v->chain.sequence && !verify_ends_at(v, state))
        verify_judge(v, VERIFY_CHANGED, (struct log_position){v->file, 0}, state->sequence,
                     VERIFY_OTHER_RECORD);
}

static bool begin_anew(struct verify *v, struct log_position place)
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

static void take_in_order(struct verify *v, struct log_position place, const struct line_view *line,
                          const struct chain_line *sealed, bool first_of_file)
{
    bool next = sealed->sequence == v->chain.sequence + 1;
    if (!v->begun && !begin(v, line, sealed)) {
        verify_judge(v, VERIFY_CHANGED, place, sealed->sequence,
                     "its hash does not fit its bytes: it was changed");
    } else if (!v->begun || (next && follows(v->chain.hash, line, sealed))) {
        verify_take_good(v, place, line, sealed);
    } else if (begins_anew(v, line, sealed)) {
        if (begin_anew(v, place)) verify_take_good(v, place, line, sealed);
    } else if (sealed->sequence <= v->chain.sequence) {
        judge_again(v, place, sealed->sequence);
    } else {
        suspect(v, place, line, sealed, first_of_file);
    }
}

/* Is this the missed run, out of order? */
static void find_missed_run(struct verify *v, const struct chain_line *sealed)
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
    struct log_position place = {file, number};
    bool first_of_file = file != v->file;
    if (first_of_file) v->found.files++;
    v->file = file;
    bool readable = line->ended && chain_read(line->p, line->n, &sealed);
    v->found.sealed_lines += readable;
    if (v->found.fault == VERIFY_REMOVED && readable) find_missed_run(v, &sealed);
    if (v->found.fault != VERIFY_INTACT) return;
    if (v->suspect.is)
        check_after_suspect(v, line, readable ? &sealed : NULL, first_of_file);
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
        verify_note(
            v, "The last line is not complete: it is being written, or the process ended in the "
               "middle of it. It is repaired at the next start.");
    else
        check_after_suspect(v, &(struct line_view){"", 0, true}, NULL, false);
}

void verify_doubt(struct verify *v, bool shares_its_name)
{
    if (!v->begun || v->found.anchored) return;
    if (shares_its_name)
        verify_judge(v, VERIFY_CUT, v->first, v->found.first_sequence,
                     "what stands before this record is not here, and another log has the same "
                     "instance's name: this may be a part of it");
    if (v->found.checkpoints == 0)
        verify_judge(v, VERIFY_CUT, v->first, v->found.first_sequence,
                     "what stands before this record is not here, and no checkpoint shows whose "
                     "log this is");
}

void verify_end(struct verify *v)
{
    struct log_position end = {v->file ? v->file : "", 0};
    end_suspect(v);
    if (v->found.fault != VERIFY_INTACT) return;
    if (v->has_state && v->state.sequence > v->chain.sequence)
        verify_judge(v, VERIFY_CUT, end, v->chain.sequence + 1,
                     "records %" PRIu64 " to %" PRIu64
                     " were written (the state file says so) and are "
                     "not there: the log was cut at its end, or rotated files are not given",
                     v->chain.sequence + 1, v->state.sequence);
    if (v->begun && end_run(v, end)) judge_unvouched(v);
}

const struct verify_summary *verify_summary(const struct verify *v)
{
    return &v->found;
}
