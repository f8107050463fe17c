/* A record in order: what it says about the log, whether it agrees with the state file, and whether
 * its signature holds. */
#include "verify_impl.h"

#include "audit/writer.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

bool verify_is_action(const char *name, enum audit_action action)
{
    return strcmp(name, audit_action_name(action)) == 0;
}

/* Uses the given key, else the one in the checkpoint. */
static bool signature_holds(const struct verify *v, const struct checkpoint *c)
{
    uint8_t spki[LOG_SPKI_LIMIT];
    char id[LOG_KEY_ID + 1];
    size_t n;
    struct span key = v->given_key;
    const struct checkpoint_content content = {c->time, &c->head, &c->previous, c->next_key};
    if (!key.n) {
        if (!base64_decode(c->public_key, strlen(c->public_key), spki, sizeof spki, &n))
            return false;
        key = (struct span){spki, n};
    }
    return log_key_id(key, id) && strcmp(id, c->key_id) == 0 &&
           checkpoint_valid(key, &content, c->signature);
}

/* For the first record of a process; it is a checkpoint, unless the log has none. */
static void note_crash(struct verify *v, uint64_t sequence)
{
    if (!v->stopped && v->found.records > 0)
        verify_note(v,
                    "The process that wrote the records before %" PRIu64
                    " ended without its last word (a crash or a kill); %" PRIu64
                    " of them were not signed then.",
                    sequence, v->found.unsigned_records);
    v->stopped = true;
}

/* Which of the given keys is this log's? None: the first one, which then does not fit. */
static void choose_key(struct verify *v, const struct checkpoint *c)
{
    const struct verify_key *key = v->keys->items;
    if (v->keys->n == 0 || v->given_key.n) return;
    for (size_t i = 0; i < v->keys->n; i++)
        if (strcmp(v->keys->items[i].id, c->key_id) == 0) key = &v->keys->items[i];
    v->given_key = key->spki;
    memcpy(v->given_id, key->id, sizeof v->given_id);
}

/* Whose key this is, from now on; NULL when out of memory. */
static const struct verify *signer_of(struct verify *v, const char *id)
{
    struct verify_keys *keys = v->keys;
    for (size_t i = 0; i < keys->signer_count; i++)
        if (strcmp(keys->signers[i].id, id) == 0) return keys->signers[i].log;
    struct verify_signer *grown = realloc(keys->signers, (keys->signer_count + 1) * sizeof *grown);
    if (!grown) return NULL;
    keys->signers = grown;
    grown[keys->signer_count].log = v;
    memcpy(grown[keys->signer_count++].id, id, LOG_KEY_ID + 1);
    return v;
}

/* One key that signs two logs: one of them is another's work, or a part of the other. */
static bool key_is_its_own(struct verify *v, const struct checkpoint *c, struct log_position place,
                           uint64_t sequence)
{
    if (strcmp(v->found.key_id, c->key_id) == 0 || signer_of(v, c->key_id) == v) return true;
    verify_judge(v, VERIFY_CHANGED, place, sequence,
                 "the checkpoint is signed with the key of another log (%.16s...)", c->key_id);
    return false;
}

static bool checkpoint_fits(struct verify *v, const struct checkpoint *c, struct log_position place,
                            uint64_t sequence)
{
    if (v->given_key.n && strcmp(c->key_id, v->given_id) != 0)
        verify_judge(v, VERIFY_CHANGED, place, sequence,
                     "the checkpoint is signed with another key (%.16s...) than the one given; the "
                     "key changes daily: give the files since that key's time, or its successor",
                     c->key_id);
    else if (c->head.sequence + 1 != sequence || strcmp(c->head.hash, v->chain.hash) != 0 ||
             !signature_holds(v, c))
        verify_judge(v, VERIFY_CHANGED, place, sequence,
                     "the checkpoint's signature does not fit: records after %" PRIu64
                     ", up to this one, were changed and chained again",
                     v->found.signed_up_to);
    return v->found.fault == VERIFY_INTACT;
}

/* The first checkpoint of a run names the end of the previous one. */
static bool take_link(struct verify *v, const struct checkpoint *c, struct log_position place,
                      uint64_t sequence)
{
    uint64_t last = v->runs.before.last;
    if (!c->previous.sequence || v->chain_checkpoints) return true;
    switch (runs_link(&v->runs, &c->previous)) {
    case RUN_OUTSIDE:
        v->found.outside = c->previous.sequence;
        return true;
    case RUN_MISSING:
        verify_judge(v, VERIFY_REMOVED, place, sequence,
                     "the run before this one ended with a record %" PRIu64
                     " that is not in what stands in front of it: that run, or its end, is missing",
                     c->previous.sequence);
        return false;
    default:
        v->unvouched = false;
        if (c->previous.sequence < last)
            verify_note(v,
                        "The run that begins at %s line %" PRIu64 " names record %" PRIu64
                        " as the last one before it; %" PRIu64
                        " more are there: they were written as that process, or the machine, died.",
                        v->anew.file, v->anew.number, c->previous.sequence,
                        last - c->previous.sequence);
        return true;
    }
}

/* From here on the key that it announces has to sign. */
static bool follow_key(struct verify *v, const struct checkpoint *c, struct log_position place,
                       uint64_t sequence)
{
    size_t n;
    if (!base64_decode(c->next_key, strlen(c->next_key), v->next_key, sizeof v->next_key, &n) ||
        !log_key_id((struct span){v->next_key, n}, v->next_id)) {
        verify_judge(v, VERIFY_CHANGED, place, sequence, "the key that is announced is none");
        return false;
    }
    if (!v->given_key.n) return true;
    v->given_key = (struct span){v->next_key, n};
    memcpy(v->given_id, v->next_id, sizeof v->given_id);
    return true;
}

static bool take_checkpoint(struct verify *v, const struct checkpoint *c, struct log_position place,
                            uint64_t sequence)
{
    choose_key(v, c);
    if (!checkpoint_fits(v, c, place, sequence) || !key_is_its_own(v, c, place, sequence) ||
        !take_link(v, c, place, sequence))
        return false;
    /* The first checkpoint of a new chain follows its first records. */
    if (c->at_start && v->chain_checkpoints && !v->starting) note_crash(v, sequence);
    bool changed = v->found.key_id[0] && strcmp(v->found.key_id, c->key_id) != 0;
    if (changed && strcmp(v->next_id, c->key_id) != 0)
        verify_note(v, "From record %" PRIu64 " on the log is signed with another key.", sequence);
    else if (changed)
        v->found.key_changes++;
    if (!v->found.first_key_id[0]) memcpy(v->found.first_key_id, c->key_id, sizeof c->key_id);
    memcpy(v->found.key_id, c->key_id, sizeof v->found.key_id);
    if (c->next_key[0] && !follow_key(v, c, place, sequence)) return false;
    v->found.checkpoints++;
    v->chain_checkpoints++;
    if (c->at_stop) v->stopped = true;
    v->found.signed_up_to = c->head.sequence;
    v->found.unsigned_records = 0;
    v->starting = false;
    return true;
}

/* A process signs the log that it finds, and the log that it leaves. */
static bool signed_at_turns(struct verify *v, const char *action, bool own,
                            struct log_position place, uint64_t sequence)
{
    bool turn = verify_is_action(action, AUDIT_PROXY_STARTED) || (v->stopped && !own);
    if (v->found.checkpoints && turn && v->found.unsigned_records > v->own_records)
        verify_judge(
            v, VERIFY_REMOVED, place, sequence,
            "there is no checkpoint where a process ended and the next one began: it was removed "
            "and the rest chained again");
    else if (v->found.checkpoints && v->found.unsigned_records >= WRITER_CHECKPOINT_RECORDS)
        verify_judge(
            v, VERIFY_REMOVED, place, sequence,
            "there is no checkpoint after %d records: the checkpoints behind record %" PRIu64
            " were removed and the rest chained again",
            WRITER_CHECKPOINT_RECORDS, v->found.signed_up_to);
    return v->found.fault == VERIFY_INTACT;
}

static bool take_record(struct verify *v, const char *action, struct log_position place,
                        uint64_t sequence)
{
    bool repair = verify_is_action(action, AUDIT_LOG_REPAIRED);
    bool own = repair || verify_is_action(action, AUDIT_LOG_DROPPED);
    if (!signed_at_turns(v, action, own, place, sequence)) return false;
    if (repair) verify_note(v, "Record %" PRIu64 " tells of a repair: see its message.", sequence);
    if (own && !repair)
        verify_note(v, "Record %" PRIu64 " tells of records that a sink did not get.", sequence);
    v->starting = verify_is_action(action, AUDIT_PROXY_STARTED);
    if (v->starting && !v->chain_checkpoints) note_crash(v, sequence);
    if (!own) v->stopped = verify_is_action(action, AUDIT_PROXY_STOPPED);
    v->own_records = own ? v->own_records + 1 : 0;
    v->found.unsigned_records++;
    return true;
}

/* A log may change its name, as it does with its machine's. */
static void note_instance(struct verify *v, const struct line_view *line, uint64_t sequence)
{
    char instance[ENTRY_INSTANCE];
    struct text name = {0};
    if (!entry_peek_instance(line, instance) || strcmp(instance, v->found.instance) == 0) return;
    bool named = v->begun && v->found.instance[0];
    memcpy(v->found.instance, instance, sizeof instance);
    if (!named) return;
    text_add_visible(&name, instance, 100);
    verify_note(v, "From record %" PRIu64 " on the instance is called %s.", sequence,
                text_string(&name));
    text_fini(&name);
}

static bool state_agrees(struct verify *v, const struct chain_line *sealed,
                         struct log_position place)
{
    if (!v->has_state || sealed->sequence != v->state.sequence ||
        memcmp(sealed->hash, v->state.hash, CHAIN_HASH) == 0)
        return true;
    verify_judge(v, VERIFY_CHANGED, place, sealed->sequence, VERIFY_OTHER_RECORD);
    return false;
}

/* Is the record here that the first run names as the end of its previous run? Then the runs are out
 * of order. */
static bool runs_in_order(struct verify *v, const struct chain_line *sealed,
                          struct log_position place)
{
    if (!runs_wants(&v->runs, sealed->sequence, sealed->hash)) return true;
    verify_judge(v, VERIFY_REORDERED, place, sealed->sequence,
                 "the run that ends with this record should stand in front of the first one");
    return false;
}

void verify_take_good(struct verify *v, struct log_position place, const struct line_view *line,
                      const struct chain_line *sealed)
{
    struct checkpoint c;
    char action[ENTRY_ACTION];
    bool plain_close;
    entry_peek_action(line, action, &plain_close);
    bool checkpoint = verify_is_action(action, AUDIT_LOG_CHECKPOINT) && checkpoint_read(line, &c);
    bool good = state_agrees(v, sealed, place) && runs_in_order(v, sealed, place) &&
                (checkpoint ? take_checkpoint(v, &c, place, sealed->sequence)
                            : take_record(v, action, place, sealed->sequence));
    if (!good) return;
    note_instance(v, line, sealed->sequence);
    if (!v->begun) {
        v->found.first_sequence = sealed->sequence;
        v->first = place;
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
