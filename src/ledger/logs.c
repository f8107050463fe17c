#include "ledger/logs.h"

#include "audit/logfile.h"
#include "audit/writer.h"
#include "ledger/checkpoint_entry.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* One of the files. */
struct source {
    const char *path, *name; /* name: for messages */
    struct lines *lines;     /* one that cannot be opened again stays open */
    uint64_t first;          /* the number of its first record; 0: none is readable */
    bool empty, known;       /* known: its instance's name is */
    char time[ENTRY_TIME], instance[ENTRY_INSTANCE];
    bool has_state;
    struct chain state;
    const char *beside; /* the path of the file whose log an empty one is of; NULL: none */
    struct verify *log; /* once it is read */
};

struct logs {
    struct verify_keys keys;
    struct verify **items;
    size_t n;
    struct source *sources;
    size_t source_count;
};

struct logs *logs_new(const struct span *keys, size_t n)
{
    struct logs *l = calloc(1, sizeof *l);
    if (l && verify_keys_init(&l->keys, keys, n)) return l;
    free(l);
    return NULL;
}

void logs_free(struct logs *l)
{
    if (!l) return;
    for (size_t i = 0; i < l->n; i++) verify_free(l->items[i]);
    for (size_t i = 0; i < l->source_count; i++) lines_close(l->sources[i].lines);
    verify_keys_fini(&l->keys);
    free(l->items);
    free(l->sources);
    free(l);
}

/* ---- the files, before they are read ---- */

/* By time too: runs that began anew have the same numbers. One without a record says only what its
 * state file says, in the end. */
static int by_first(const void *a, const void *b)
{
    const struct source *one = a, *other = b;
    if (one->empty != other->empty) return one->empty ? 1 : -1;
    if (one->first != other->first) return one->first < other->first ? -1 : 1;
    return strcmp(one->time, other->time);
}

/* The name is the second record's: the first one's own bytes are not proved by what follows. True
 * once all is known. */
static bool note_line(struct source *s, const struct line_view *line)
{
    struct chain_line sealed;
    if (!chain_read(line->p, line->n, &sealed)) return false;
    bool second = s->first > 0;
    if (!second) {
        s->first = sealed.sequence;
        entry_peek_time(line->p, line->n, s->time);
    }
    s->known = true;
    if (!entry_peek_instance(line, s->instance)) s->instance[0] = '\0';
    return second;
}

static bool can_be_opened_again(const char *path)
{
    struct stat st;
    return strcmp(path, "-") != 0 && stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

/* Finds the first readable record. An unreadable line before it must not change the order of the
 * files. */
static bool look(struct source *s, struct text *errors)
{
    enum { LINES_LOOKED_AT = 1000 };
    struct line_view line;
    bool again = can_be_opened_again(s->path);
    s->lines = lines_open(s->path, errors);
    if (!s->lines) return false;
    if (!again) {
        s->empty = !lines_peek(s->lines, &line);
        if (!s->empty) (void)note_line(s, &line);
        return true;
    }
    s->empty = !lines_peek(s->lines, &line) && !lines_failed(s->lines);
    for (int i = 0; i < LINES_LOOKED_AT && lines_next(s->lines, &line); i++)
        if (note_line(s, &line)) break;
    lines_close(s->lines);
    s->lines = NULL;
    return true;
}

/* One without a record, such as the live file after a rotation, is of the log of files whose names
 * begin with its own. */
static void name_empty(struct logs *l)
{
    for (size_t i = 0; i < l->source_count; i++) {
        struct source *s = &l->sources[i];
        size_t n = strlen(s->path);
        uint64_t newest = 0;
        for (size_t k = 0; k < l->source_count && s->first == 0; k++) {
            const struct source *other = &l->sources[k];
            if (other->first <= newest || strncmp(other->path, s->path, n) != 0) continue;
            newest = other->first;
            s->beside = other->path;
            s->known = true;
            memcpy(s->instance, other->instance, sizeof s->instance);
        }
    }
}

/* The states are read first, so that a growing log is never behind its own. */
static bool look_at_all(struct logs *l, char *const *paths, size_t n, struct text *errors)
{
    l->sources = calloc(n, sizeof *l->sources);
    if (!l->sources) {
        text_add(errors, "out of memory\n");
        return false;
    }
    l->source_count = n;
    for (size_t i = 0; i < n; i++) {
        struct source *s = &l->sources[i];
        s->path = paths[i];
        s->name = strcmp(s->path, "-") == 0 ? "standard input" : s->path;
        s->has_state = logfile_read_state(s->path, &s->state);
    }
    for (size_t i = 0; i < n; i++)
        if (!look(&l->sources[i], errors)) return false;
    name_empty(l);
    qsort(l->sources, n, sizeof *l->sources, by_first);
    return true;
}

/* ---- the logs ---- */

static const struct chain *state_of(const struct logs *l, const char *instance)
{
    for (size_t i = 0; i < l->source_count; i++)
        if (l->sources[i].has_state && l->sources[i].known &&
            strcmp(l->sources[i].instance, instance) == 0)
            return &l->sources[i].state;
    return NULL;
}

static struct verify *begin_log(struct logs *l, const struct source *s)
{
    struct verify **grown = realloc(l->items, (l->n + 1) * sizeof(struct verify *));
    if (!grown) return NULL;
    l->items = grown;
    grown[l->n] = verify_new(&l->keys, s->instance, state_of(l, s->instance));
    return grown[l->n] ? grown[l->n++] : NULL;
}

/* The key of the first readable checkpoint in a file; "" if none is near. */
static void peek_key(const char *path, char out[LOG_KEY_ID + 1])
{
    struct text errors = {0};
    struct line_view line;
    struct checkpoint c;
    char action[ENTRY_ACTION];
    bool plain_close;
    struct lines *lines = can_be_opened_again(path) ? lines_open(path, &errors) : NULL;
    out[0] = '\0';
    for (int i = 0; lines && i <= WRITER_CHECKPOINT_RECORDS && lines_next(lines, &line); i++) {
        entry_peek_action(&line, action, &plain_close);
        if (strcmp(action, audit_action_name(AUDIT_LOG_CHECKPOINT)) != 0) continue;
        if (!checkpoint_read(&line, &c)) continue;
        memcpy(out, c.key_id, sizeof c.key_id);
        break;
    }
    lines_close(lines);
    text_fini(&errors);
}

/* Whose last record is the one of this state, or the log of the file beside; else its own, of which
 * nothing is there. */
static struct verify *log_of_state(struct logs *l, const struct source *s)
{
    for (size_t i = 0; s->has_state && i < l->n; i++)
        if (verify_ends_at(l->items[i], &s->state)) return l->items[i];
    for (size_t i = 0; s->beside && i < l->source_count; i++)
        if (l->sources[i].path == s->beside) return l->sources[i].log;
    return begin_log(l, s);
}

static struct verify *log_of(struct logs *l, const struct source *s, struct lines *lines)
{
    struct line_view line;
    if (s->empty) return log_of_state(l, s);
    char key[LOG_KEY_ID + 1];
    bool has_line = lines_peek(lines, &line);
    for (size_t i = 0; has_line && i < l->n; i++)
        if (verify_continues(l->items[i], &line)) return l->items[i];
    for (size_t i = l->n; i-- > 0;)
        if (strcmp(verify_summary(l->items[i])->instance, s->instance) == 0) return l->items[i];
    if (l->n > 0) peek_key(s->path, key);
    for (size_t i = l->n; i-- > 0;)
        if (verify_has_key(l->items[i], key)) return l->items[i];
    return begin_log(l, s);
}

static void feed(struct verify *v, const char *name, struct lines *l)
{
    struct line_view line;
    while (lines_next(l, &line)) verify_line(v, name, lines_number(l), &line);
}

static bool read_source(struct logs *l, struct source *s, struct text *errors)
{
    struct lines *lines = s->lines ? s->lines : lines_open(s->path, errors);
    s->lines = NULL;
    if (!lines) return false;
    struct verify *v = log_of(l, s, lines);
    s->log = v;
    if (!v) text_add(errors, "out of memory\n");
    if (v && s->has_state) verify_take_state(v, &s->state);
    if (v) feed(v, s->name, lines);
    if (lines_failed(lines))
        text_printf(errors, "%s cannot be read to its end: %s\n", s->name, lines_fault(lines));
    lines_close(lines);
    return errors->size == 0;
}

static bool shares_its_name(const struct logs *l, size_t i)
{
    const char *name = logs_summary(l, i)->instance;
    for (size_t k = 0; k < l->n; k++)
        if (k != i && strcmp(logs_summary(l, k)->instance, name) == 0) return true;
    return false;
}

bool logs_read(struct logs *l, char *const *paths, size_t n, struct text *errors)
{
    bool ok = look_at_all(l, paths, n, errors);
    for (size_t i = 0; ok && i < n; i++) ok = read_source(l, &l->sources[i], errors);
    for (size_t i = 0; ok && i < l->n; i++) {
        if (l->n > 1) verify_doubt(l->items[i], shares_its_name(l, i));
        verify_end(l->items[i]);
    }
    return ok;
}

size_t logs_count(const struct logs *l)
{
    return l->n;
}

const struct verify_summary *logs_summary(const struct logs *l, size_t i)
{
    return verify_summary(l->items[i]);
}

static bool has_signed(const struct verify_keys *keys, const char *id)
{
    for (size_t i = 0; i < keys->signer_count; i++)
        if (strcmp(keys->signers[i].id, id) == 0) return true;
    return false;
}

const char *logs_unused_key(const struct logs *l, size_t i)
{
    for (size_t k = 0; k < l->keys.n; k++)
        if (!has_signed(&l->keys, l->keys.items[k].id) && i-- == 0) return l->keys.items[k].id;
    return NULL;
}
