#include "audit/logfile.h"
#include "base/file.h"
#include "base/json.h"
#include "cli/log.h"
#include "ledger/verify.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "Usage: suitegate log verify [--key FILE] [--json] FILE...\n\n"
    "Is this audit log complete and unaltered? Give the live file and the rotated ones that\n"
    "belong to it, in any order; - is standard input. What gzip has packed is unpacked.\n\n"
    "      --key FILE   the public log key that you noted (suitegate log key); without it the\n"
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

static void describe_json(const struct verify_summary *s, struct text *out)
{
    struct json j = json_of(out);
    json_put_object(&j, NULL);
    json_put_string(&j, "verdict", s->fault == VERIFY_INTACT ? "intact" : "not intact");
    json_put_bool(&j, "complete", s->fault == VERIFY_INTACT && !s->unlinked);
    if (s->fault != VERIFY_INTACT) {
        json_put_object(&j, "fault");
        json_put_string(&j, "kind", fault_name(s->fault));
        json_put_number(&j, "record", (int64_t)s->fault_record);
        json_put_string(&j, "file", s->fault_file);
        if (s->fault_line) json_put_number(&j, "line", (int64_t)s->fault_line);
        json_put_string(&j, "sentence", text_string(&s->sentence));
        json_end_object(&j);
    }
    json_put_number(&j, "files", (int64_t)s->files);
    json_put_number(&j, "records", (int64_t)s->records);
    if (s->records) {
        json_put_number(&j, "first_record", (int64_t)s->first_sequence);
        json_put_number(&j, "last_record", (int64_t)s->last_sequence);
        json_put_string(&j, "first_time", s->first_time);
        json_put_string(&j, "last_time", s->last_time);
    }
    json_put_number(&j, "chains", (int64_t)s->chains);
    json_put_number(&j, "unlinked_chains", (int64_t)s->unlinked);
    json_put_number(&j, "checkpoints", (int64_t)s->checkpoints);
    json_put_number(&j, "signed_up_to", (int64_t)s->signed_up_to);
    json_put_number(&j, "unsigned_records", (int64_t)s->unsigned_records);
    json_put_optional(&j, "key_id", s->key_id);
    json_put_optional(&j, "first_key_id", s->first_key_id);
    json_put_number(&j, "key_changes", (int64_t)s->key_changes);
    json_put_bool(&j, "key_given", s->key_given);
    describe_json_notes(s, &j);
    json_put_array(&j, "does_not_show");
    add_limits(s, put_json_limit, &j);
    json_end_array(&j);
    json_end_object(&j);
    text_add(out, "\n");
}

/* ---- the files ---- */

struct source {
    struct lines *lines;
    uint64_t first; /* the number of its first record; 0: none is readable */
    char time[ENTRY_TIME];
};

/* By time too: runs that began anew have the same numbers. */
static int by_first(const void *a, const void *b)
{
    const struct source *one = a, *other = b;
    if (one->first != other->first) return one->first < other->first ? -1 : 1;
    return strcmp(one->time, other->time);
}

static bool note_first(struct source *s, const struct line_view *line)
{
    struct chain_line sealed;
    if (!chain_read(line->p, line->n, &sealed)) return false;
    s->first = sealed.sequence;
    entry_peek_time(line->p, line->n, s->time);
    return true;
}

/* Finds the first readable record. An unreadable line before it must not change the order of the
 * files. */
static void find_first(const char *path, struct source *s)
{
    enum { LINES_LOOKED_AT = 1000 };
    struct line_view line;
    struct text errors = {0};
    if (lines_peek(s->lines, &line) && note_first(s, &line)) return;
    struct lines *again = strcmp(path, "-") == 0 ? NULL : lines_open(path, &errors);
    for (int i = 0; again && i < LINES_LOOKED_AT && lines_next(again, &line); i++)
        if (note_first(s, &line)) break;
    lines_close(again);
    text_fini(&errors);
}

static void feed(struct verify *v, struct lines *l)
{
    struct line_view line;
    while (lines_next(l, &line)) verify_line(v, lines_name(l), lines_number(l), &line);
}

static bool open_sources(char **paths, size_t n, struct source *sources, struct text *errors)
{
    for (size_t i = 0; i < n; i++) {
        sources[i].lines = lines_open(paths[i], errors);
        if (!sources[i].lines) return false;
        find_first(paths[i], &sources[i]);
    }
    qsort(sources, n, sizeof *sources, by_first);
    return true;
}

static bool take_key(void *arg, struct span der)
{
    struct text *out = arg;
    if (!out->size) text_add_bytes(out, der.p, der.n);
    return true;
}

static bool read_key(const char *path, struct text *spki, struct text *errors)
{
    enum { KEY_LIMIT = 65536 };
    struct text pem = {0};
    int fault = file_read(path, KEY_LIMIT, &pem, NULL);
    if (fault)
        text_printf(errors, "%s: %s\n", path, strerror(fault));
    else if (!pem_each(text_string(&pem), pem.size, PEM_PUBLIC_KEY, take_key, spki) || !spki->size)
        text_printf(errors, "%s holds no public key (PEM, from: suitegate log key)\n", path);
    text_fini(&pem);
    return errors->size == 0;
}

/* Reads the state file beside one of the files, before the files, so that a growing log is never
 * behind it. */
static bool read_state(char **paths, size_t n, struct chain *out)
{
    for (size_t i = 0; i < n; i++)
        if (logfile_read_state(paths[i], out)) return true;
    return false;
}

static int conclude(const struct verify_summary *s, bool json, const struct text *errors)
{
    struct text out = {0};
    if (errors->size) return CLI_CANNOT;
    if (!s->sealed_lines && s->fault != VERIFY_CUT) {
        fprintf(stderr, "suitegate: there are no audit records in what was given\n");
        return CLI_CANNOT;
    }
    json ? describe_json(s, &out) : describe(s, &out);
    int status = cli_print(&out, s->fault == VERIFY_INTACT ? CLI_DONE : CLI_NO);
    text_fini(&out);
    return status;
}

int cli_log_verify(int argc, char **argv)
{
    static const struct cli_syntax syntax = {CLI_WITH(KEY) | CLI_WITH(JSON), CLI_FILES, help};
    struct cli_options options;
    struct text errors = {0}, spki = {0};
    struct chain state;
    int status = cli_parse(argc, argv, &syntax, &options);
    if (status >= 0) return status;
    struct source *sources = calloc(options.operand_count, sizeof *sources);
    bool ok = sources && (!options.key || read_key(options.key, &spki, &errors));
    bool has_state = read_state(options.operands, options.operand_count, &state);
    ok = ok && open_sources(options.operands, options.operand_count, sources, &errors);
    struct verify *v =
        ok ? verify_new((struct span){(const uint8_t *)text_string(&spki), spki.size},
                        has_state ? &state : NULL)
           : NULL;
    for (size_t i = 0; v && i < options.operand_count; i++) {
        feed(v, sources[i].lines);
        if (lines_failed(sources[i].lines))
            text_printf(&errors, "%s cannot be read to its end: %s\n", lines_name(sources[i].lines),
                        lines_fault(sources[i].lines));
    }
    if (v) verify_end(v);
    status = v ? conclude(verify_summary(v), options.json, &errors) : CLI_CANNOT;
    if (!v || errors.size) cli_print_errors(&errors);
    verify_free(v);
    for (size_t i = 0; sources && i < options.operand_count; i++) lines_close(sources[i].lines);
    free(sources);
    text_fini(&spki);
    text_fini(&errors);
    return status;
}
