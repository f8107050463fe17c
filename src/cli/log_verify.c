#include "base/file.h"
#include "base/json.h"
#include "cli/log.h"
#include "ledger/logs.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "Usage: suitegate log verify [--key FILE] [--json] FILE...\n\n"
    "Is this audit log complete and unaltered? Give the live file and the rotated ones that\n"
    "belong to it, in any order; - is standard input. What gzip has packed is unpacked. The files\n"
    "of several instances may be given together: each instance's log is verified by itself.\n\n"
    "      --key FILE   the public log key that you noted (suitegate log key), or those of "
    "several\n"
    "                   logs one after the other, each of which has to be there; without it the\n"
    "                   signatures are checked with the key that the log itself names\n"
    "      --json       as one JSON object\n"
    "  -h, --help       this text\n\n"
    "A log on standard output is a chain a start. Each names the end of the one before where "
    "there\n"
    "is a log key; where one does not, nothing is said of completeness (--json: \"complete\").\n\n"
    "Exit status: 0 intact, 1 not intact, 2 could not tell, 64 wrong usage.\n";

static const char *fault_name(enum verify_fault fault)
{
    static const char *const names[] = {"intact",   "changed",   "removed",
                                        "inserted", "reordered", "cut"};
    return names[fault];
}

static void add_limits(const struct verify_summary *s,
                       void (*each)(void *arg, const char *sentence), void *arg)
{
    char line[256];
    if (s->unlinked > 0) {
        snprintf(line, sizeof line,
                 "%" PRIu64 " of the %" PRIu64
                 " chains do not name the end of the one before them: whole runs may have been "
                 "taken out.",
                 s->unlinked, s->chains);
        each(arg, line);
    }
    if (s->checkpoints == 0)
        each(arg, "Nothing is signed: whoever can write the files can have written them all.");
    else if (!s->key_given)
        each(arg, "Without --key the signatures are checked with the key that the log names "
                  "itself: compare its id with the one you noted (suitegate log key).");
    if (s->unsigned_records > 0 && s->checkpoints > 0) {
        snprintf(line, sizeof line,
                 "The last %" PRIu64
                 " records are not signed yet: their writer, or anybody who can "
                 "write the file, could still change them.",
                 s->unsigned_records);
        each(arg, line);
    }
    if (s->records && !s->anchored) {
        snprintf(line, sizeof line,
                 "Record %" PRIu64 " itself is not proved: that takes the file before it.",
                 s->first_sequence);
        each(arg, line);
    }
    if (s->records && s->first_sequence > 1) {
        snprintf(line, sizeof line, "Records 1 to %" PRIu64 " are not in these files.",
                 s->first_sequence - 1);
        each(arg, line);
    }
    if (s->outside > 0) {
        snprintf(line, sizeof line,
                 "The run before the first one, up to its record %" PRIu64
                 ", is not in these files.",
                 s->outside);
        each(arg, line);
    }
    each(arg,
         s->state_given
             ? "A chain cannot show that records were cut off behind the last one and the state "
               "file set back, nor protect from who has the log key: keep copies of "
               "checkpoints elsewhere."
             : "A chain without its state file cannot show that what came behind the last "
               "record was cut off, nor protect from who has the log key: keep copies of "
               "checkpoints elsewhere.");
}

static void put_limit(void *arg, const char *sentence)
{
    text_printf(arg, "  %s\n", sentence);
}

static void put_json_limit(void *arg, const char *sentence)
{
    json_put_string(arg, NULL, sentence);
}

static void describe_notes(const struct verify_summary *s, struct text *out)
{
    const char *p = text_string(&s->notes);
    while (*p) {
        size_t n = strcspn(p, "\n");
        text_printf(out, "Note: %.*s\n", (int)n, p);
        p += n + 1;
    }
    if (s->note_count > VERIFY_NOTES)
        text_printf(out, "Note: %u more notes.\n", s->note_count - VERIFY_NOTES);
}

static void describe(const struct verify_summary *s, struct text *out)
{
    if (s->fault == VERIFY_INTACT) {
        if (s->chains > 1)
            text_printf(out, "INTACT: %" PRIu64 " records in %" PRIu64 " chains%s", s->records,
                        s->chains, s->unlinked ? "" : ", each of which names the one before");
        else
            text_printf(out, "INTACT: records %" PRIu64 " to %" PRIu64, s->first_sequence,
                        s->last_sequence);
        text_printf(out, ", %sunaltered (%s to %s, %" PRIu64 " file%s).\n",
                    s->unlinked ? "" : "complete and ", s->first_time, s->last_time, s->files,
                    s->files == 1 ? "" : "s");
    } else {
        text_printf(out, "NOT INTACT: %s at record %" PRIu64 " (%s", fault_name(s->fault),
                    s->fault_record, s->fault_file);
        if (s->fault_line) text_printf(out, " line %" PRIu64, s->fault_line);
        text_printf(out, "): %s.\n", text_string(&s->sentence));
        if (s->records)
            text_printf(out, "In order up to there: %" PRIu64 " records.\n", s->records);
    }
    if (s->checkpoints)
        text_printf(out, "Signed up to record %" PRIu64 " by %" PRIu64 " checkpoint%s; key %s%s.\n",
                    s->signed_up_to, s->checkpoints, s->checkpoints == 1 ? "" : "s",
                    s->first_key_id, s->key_given ? " (given)" : "");
    if (s->key_changes)
        text_printf(out,
                    "The key has changed %" PRIu64 " time%s, each announced by the one before; "
                    "the last one is %s.\n",
                    s->key_changes, s->key_changes == 1 ? "" : "s", s->key_id);
    describe_notes(s, out);
    text_add(out, "What this does not show:\n");
    add_limits(s, put_limit, out);
}

static void describe_json_notes(const struct verify_summary *s, struct json *j)
{
    json_put_array(j, "notes");
    for (const char *p = text_string(&s->notes); *p;) {
        size_t n = strcspn(p, "\n");
        json_put_bytes(j, NULL, p, n);
        p += n + 1;
    }
    json_end_array(j);
}

static const char *const verdicts[] = {"not intact", "intact"};

/* The members of an object. */
static void describe_json(const struct verify_summary *s, struct json *j)
{
    json_put_optional(j, "instance", s->instance);
    json_put_string(j, "verdict", verdicts[s->fault == VERIFY_INTACT]);
    json_put_bool(j, "complete", s->fault == VERIFY_INTACT && !s->unlinked);
    if (s->fault != VERIFY_INTACT) {
        json_put_object(j, "fault");
        json_put_string(j, "kind", fault_name(s->fault));
        json_put_number(j, "record", (int64_t)s->fault_record);
        json_put_string(j, "file", s->fault_file);
        if (s->fault_line) json_put_number(j, "line", (int64_t)s->fault_line);
        json_put_string(j, "sentence", text_string(&s->sentence));
        json_end_object(j);
    }
    json_put_number(j, "files", (int64_t)s->files);
    json_put_number(j, "records", (int64_t)s->records);
    if (s->records) {
        json_put_number(j, "first_record", (int64_t)s->first_sequence);
        json_put_number(j, "last_record", (int64_t)s->last_sequence);
        json_put_string(j, "first_time", s->first_time);
        json_put_string(j, "last_time", s->last_time);
    }
    json_put_number(j, "chains", (int64_t)s->chains);
    json_put_number(j, "unlinked_chains", (int64_t)s->unlinked);
    json_put_number(j, "checkpoints", (int64_t)s->checkpoints);
    json_put_number(j, "signed_up_to", (int64_t)s->signed_up_to);
    json_put_number(j, "unsigned_records", (int64_t)s->unsigned_records);
    json_put_optional(j, "key_id", s->key_id);
    json_put_optional(j, "first_key_id", s->first_key_id);
    json_put_number(j, "key_changes", (int64_t)s->key_changes);
    json_put_bool(j, "key_given", s->key_given);
    describe_json_notes(s, j);
    json_put_array(j, "does_not_show");
    add_limits(s, put_json_limit, j);
    json_end_array(j);
}

/* ---- the command ---- */

struct given_keys {
    struct text der; /* one after the other */
    struct span *items;
    size_t n;
};

static bool count_key(void *arg, struct span der)
{
    struct given_keys *keys = arg;
    text_add_bytes(&keys->der, der.p, der.n);
    struct span *grown = realloc(keys->items, (keys->n + 1) * sizeof *grown);
    if (!grown) return false;
    keys->items = grown;
    keys->items[keys->n++].n = der.n;
    return !keys->der.failed;
}

static void given_keys_fini(struct given_keys *keys)
{
    text_fini(&keys->der);
    free(keys->items);
}

static bool read_keys(const char *path, struct given_keys *out, struct text *errors)
{
    enum { KEY_LIMIT = 1 << 20 };
    struct text pem = {0};
    int fault = file_read(path, KEY_LIMIT, &pem, NULL);
    if (fault)
        text_printf(errors, "%s: %s\n", path, strerror(fault));
    else if (!pem_each(text_string(&pem), pem.size, PEM_PUBLIC_KEY, count_key, out) || !out->n)
        text_printf(errors, "%s holds no public key (PEM, from: suitegate log key)\n", path);
    const uint8_t *p = (const uint8_t *)text_string(&out->der);
    for (size_t i = 0; i < out->n; p += out->items[i++].n) out->items[i].p = p;
    text_fini(&pem);
    return errors->size == 0;
}

/* The verdict on all of them. */
struct verdict {
    size_t logs, intact;
    uint64_t sealed_lines;
    bool complete, cut;
    bool good; /* all are intact, and each key that was given has its log */
};

static struct verdict judge(const struct logs *l)
{
    struct verdict all = {.logs = logs_count(l), .complete = true};
    for (size_t i = 0; i < all.logs; i++) {
        const struct verify_summary *s = logs_summary(l, i);
        all.intact += s->fault == VERIFY_INTACT;
        all.sealed_lines += s->sealed_lines;
        all.complete = all.complete && s->fault == VERIFY_INTACT && !s->unlinked;
        all.cut = all.cut || s->fault == VERIFY_CUT;
    }
    all.good = all.intact == all.logs && !logs_unused_key(l, 0);
    return all;
}

static void describe_all(const struct logs *l, const struct verdict *all, struct text *out)
{
    const char *key;
    for (size_t i = 0; i < all->logs; i++) {
        const struct verify_summary *s = logs_summary(l, i);
        if (all->logs > 1) {
            text_add(out, i ? "\nLOG OF " : "LOG OF ");
            text_add_visible(out, s->instance[0] ? s->instance : "(an instance without a name)",
                             100);
            text_add(out, "\n");
        }
        describe(s, out);
    }
    if (all->logs > 1)
        text_printf(out, "\n%zu LOGS, %zu INTACT, %zu NOT INTACT.\n", all->logs, all->intact,
                    all->logs - all->intact);
    for (size_t i = 0; (key = logs_unused_key(l, i)); i++)
        text_printf(out, "NOT COMPLETE: no log here is signed with the key %s that was given.\n",
                    key);
}

static void describe_all_json(const struct logs *l, const struct verdict *all, struct text *out)
{
    struct json j = json_of(out);
    const char *key;
    json_put_object(&j, NULL);
    if (all->logs == 1 && (all->good || !all->intact)) {
        describe_json(logs_summary(l, 0), &j);
    } else {
        json_put_string(&j, "verdict", verdicts[all->good]);
        json_put_bool(&j, "complete", all->good && all->complete);
        json_put_array(&j, "logs");
        for (size_t i = 0; i < all->logs; i++) {
            json_put_object(&j, NULL);
            describe_json(logs_summary(l, i), &j);
            json_end_object(&j);
        }
        json_end_array(&j);
    }
    json_put_array(&j, "unused_keys");
    for (size_t i = 0; (key = logs_unused_key(l, i)); i++) json_put_string(&j, NULL, key);
    json_end_array(&j);
    json_end_object(&j);
    text_add(out, "\n");
}

static int conclude(const struct logs *l, bool json)
{
    struct text out = {0};
    const struct verdict all = judge(l);
    if (!all.sealed_lines && !all.cut) {
        fprintf(stderr, "suitegate: there are no audit records in what was given\n");
        return CLI_CANNOT;
    }
    json ? describe_all_json(l, &all, &out) : describe_all(l, &all, &out);
    int status = cli_print(&out, all.good ? CLI_DONE : CLI_NO);
    text_fini(&out);
    return status;
}

int cli_log_verify(int argc, char **argv)
{
    static const struct cli_syntax syntax = {CLI_WITH(KEY) | CLI_WITH(JSON), CLI_FILES, help};
    struct cli_options options;
    struct text errors = {0};
    struct given_keys keys = {0};
    int status = cli_parse(argc, argv, &syntax, &options);
    if (status >= 0) return status;
    bool ok = !options.key || read_keys(options.key, &keys, &errors);
    struct logs *l = ok ? logs_new(keys.items, keys.n) : NULL;
    if (ok && !l) text_add(&errors, "out of memory\n");
    ok = l && logs_read(l, options.operands, options.operand_count, &errors);
    status = ok ? conclude(l, options.json) : CLI_CANNOT;
    if (!ok) cli_print_errors(&errors);
    logs_free(l);
    given_keys_fini(&keys);
    text_fini(&errors);
    return status;
}
