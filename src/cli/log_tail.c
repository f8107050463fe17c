#include "base/clock.h"
#include "base/input.h"
#include "cli/log.h"
#include "config/config.h"
#include "ledger/entry.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SHOWN = 20, BACK = 1 << 20, PAUSE_MS = 200, LINE_LIMIT = 1 << 20 };

static const char help[] =
    "Usage: suitegate log tail [-c FILE] [-f] [--refused] [FILE]\n\n"
    "Shows the last 20 records of an audit log, a line each; with - those of standard input,\n"
    "and of a file that gzip has packed, all of them. Without FILE it is the configured one.\n\n"
    "  -c, --config FILE   configuration (default: " SUITEGATE_CONFIG ")\n"
    "  -f, --follow        go on with what is written, also after a rotation\n"
    "      --refused       refusals and other things that are not in order only\n"
    "  -h, --help          this text\n\n"
    "Colours when standard output is a terminal, unless NO_COLOR is set.\n"
    "Exit status: 0 done, 2 could not, 64 wrong usage.\n";

struct tail {
    const char *path;
    bool refused_only, colours;
    int fd;
    struct input *input; /* standard input or compressed: front to back; else NULL */
    struct text pending; /* read, but not yet a whole line */
    bool failed;         /* standard output is closed */
};

/* ---- one record ---- */

enum mark { MARK_REFUSED, MARK_WARNING, MARK_ALLOWED, MARK_QUIET };

static enum mark mark_of(const struct log_entry *e)
{
    static const enum audit_action quiet[] = {AUDIT_CONNECTION_CLOSED, AUDIT_PROXY_STARTED,
                                              AUDIT_PROXY_STOPPED, AUDIT_CONFIGURATION_LOADED,
                                              AUDIT_LOG_CHECKPOINT};
    if (strcmp(e->action, audit_action_name(AUDIT_CONNECTION_REFUSED)) == 0 ||
        strcmp(e->action, audit_action_name(AUDIT_CONNECTION_REFUSED_REPEATED)) == 0)
        return MARK_REFUSED;
    if (strcmp(e->action, audit_action_name(AUDIT_CONNECTION_OPENED)) == 0) return MARK_ALLOWED;
    if (e->observed)
        return e->outlook == OUTLOOK_REFUSE ? MARK_WARNING
               : e->outlook == OUTLOOK_PASS ? MARK_ALLOWED
                                            : MARK_QUIET;
    for (size_t i = 0; i < COUNT_OF(quiet); i++)
        if (strcmp(e->action, audit_action_name(quiet[i])) == 0)
            return e->code[0] ? MARK_WARNING : MARK_QUIET;
    return MARK_WARNING;
}

static const char *verb(const struct log_entry *e)
{
    static const char prefix[] = "connection-";
    bool about = strncmp(e->action, prefix, sizeof prefix - 1) == 0;
    return about ? e->action + sizeof prefix - 1 : e->action;
}

static void describe(const struct log_entry *e, struct text *out)
{
    struct text offer = {0};
    if (e->source[0]) {
        text_add_visible(out, e->source, 45);
        if (e->count > 1) text_printf(out, " (%" PRIu64 " times)", e->count);
        text_add(out, " -> ");
        text_add_visible(out, e->destination[0] ? e->destination : e->listener, 60);
        if (e->destination_port) text_printf(out, ":%u", e->destination_port);
        text_add(out, " ");
    }
    if (e->observed) {
        text_add(out, e->outlook == OUTLOOK_REFUSE ? "would be refused: "
                      : e->outlook == OUTLOOK_PASS ? "would pass"
                                                   : "not known");
        if (e->outlook == OUTLOOK_REFUSE) text_add(out, reason_row(e->would_refuse)->code);
    } else if (e->code[0]) {
        text_add_visible(out, e->code, 60);
        entry_describe_offer(e, &offer);
        if (offer.size) text_add(out, ": ");
        text_add_visible(out, text_string(&offer), 160);
    } else if (e->cipher[0]) {
        text_add(out, "TLS ");
        text_add_visible(out, e->version, 8);
        text_add(out, " ");
        text_add_visible(out, e->cipher, 60);
    } else if (!e->source[0]) {
        text_add_visible(out, e->message, 160);
    }
    text_fini(&offer);
}

static void print_line(struct tail *t, const char *p, size_t n)
{
    static const char *const colour[] = {"\033[1;31m", "\033[33m", "\033[32m", "\033[2m"};
    struct log_entry e;
    struct text out = {0};
    if (n == 0) return;
    if (!entry_read(&(struct line_view){p, n, true}, &e)) {
        text_add(&out, "(no record) ");
        text_add_visible(&out, p, 100);
    } else {
        enum mark mark = mark_of(&e);
        if (t->refused_only && mark != MARK_REFUSED && mark != MARK_WARNING) {
            entry_fini(&e);
            return;
        }
        char when[CLOCK_TEXT_SIZE];
        clock_format(e.at, when);
        text_printf(&out, "%.10s %.12s %s", when, when + 11, t->colours ? colour[mark] : "");
        text_add_visible(&out, verb(&e), 24);
        text_printf(&out, "%s ", t->colours ? "\033[0m" : "");
        describe(&e, &out);
        entry_fini(&e);
    }
    text_add(&out, "\n");
    if (fputs(text_string(&out), stdout) < 0) t->failed = true;
    text_fini(&out);
}

/* ---- the file ---- */

static void print_pending(struct tail *t)
{
    char *p = t->pending.data, *end = p + t->pending.size, *newline;
    while (p < end && !t->failed && (newline = memchr(p, '\n', (size_t)(end - p)))) {
        *newline = '\0';
        print_line(t, p, (size_t)(newline - p));
        p = newline + 1;
    }
    t->pending.size = (size_t)(end - p);
    memmove(t->pending.data, p, t->pending.size);
    if (t->pending.size > LINE_LIMIT) t->pending.size = 0; /* not one of our records */
    if (fflush(stdout) != 0) t->failed = true;
}

/* True when something was read. */
static bool read_some(struct tail *t)
{
    char block[65536];
    ssize_t n =
        t->input ? input_read(t->input, block, sizeof block) : read(t->fd, block, sizeof block);
    if (n < 0 && t->input) {
        fprintf(stderr, "suitegate: %s cannot be read to its end: %s\n", t->path,
                input_fault(t->input));
        t->failed = true;
        return false;
    }
    if (n <= 0) return n < 0 && errno == EINTR;
    text_add_bytes(&t->pending, block, (size_t)n);
    if (t->pending.failed) {
        t->failed = true;
        return false;
    }
    print_pending(t);
    return true;
}

/* Seeks to the first of the last records. False when it cannot seek, as in a pipe. */
static bool go_back(struct tail *t)
{
    struct stat st;
    if (fstat(t->fd, &st) < 0 || !S_ISREG(st.st_mode)) return false;
    off_t from = st.st_size > BACK ? st.st_size - BACK : 0;
    size_t size = (size_t)(st.st_size - from), lines = 0;
    struct text tail = {0};
    char *p = text_extend(&tail, size);
    ssize_t n = p ? pread(t->fd, p, size, from) : -1;
    off_t at = from;
    for (ssize_t i = n - 1; i > 0; i--)
        if (p[i - 1] == '\n' && ++lines == SHOWN) {
            at = from + i;
            break;
        }
    text_fini(&tail);
    return n >= 0 && lseek(t->fd, at, SEEK_SET) == at;
}

/* Switches to a new file of that name; starts again if the file has become shorter. */
static void follow_rotation(struct tail *t)
{
    struct stat here, there;
    if (fstat(t->fd, &here) < 0 || stat(t->path, &there) < 0) return;
    bool other = here.st_dev != there.st_dev || here.st_ino != there.st_ino;
    if (!other && here.st_size < lseek(t->fd, 0, SEEK_CUR)) {
        if (lseek(t->fd, 0, SEEK_SET) == 0) t->pending.size = 0;
        return;
    }
    if (!other) return;
    while (read_some(t))
        ;
    int fd = open(t->path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) return;
    close(t->fd);
    t->fd = fd;
    t->pending.size = 0;
}

static bool open_input(struct tail *t)
{
    struct text errors = {0};
    t->input = input_open(t->path, &errors);
    if (!t->input) cli_print_errors(&errors);
    text_fini(&errors);
    return t->input != NULL;
}

static bool is_packed(int fd)
{
    char magic[2];
    return pread(fd, magic, sizeof magic, 0) == sizeof magic && memcmp(magic, "\x1f\x8b", 2) == 0;
}

static int show(struct tail *t, bool follow)
{
    bool standard = strcmp(t->path, "-") == 0;
    t->fd = standard ? dup(STDIN_FILENO) : open(t->path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (t->fd < 0) {
        fprintf(stderr, "suitegate: %s: %s\n", t->path, strerror(errno));
        return CLI_CANNOT;
    }
    if ((standard || is_packed(t->fd)) && !open_input(t)) {
        close(t->fd);
        return CLI_CANNOT;
    }
    bool regular = !t->input && go_back(t);
    do {
        while (!t->failed && read_some(t))
            ;
        if (follow && regular && !t->failed) {
            nanosleep(&(struct timespec){0, PAUSE_MS * 1000000}, NULL);
            follow_rotation(t);
        }
    } while (follow && regular && !t->failed);
    close(t->fd);
    input_close(t->input);
    text_fini(&t->pending);
    return t->failed ? CLI_CANNOT : CLI_DONE;
}

int cli_log_tail(int argc, char **argv)
{
    static const struct cli_syntax syntax = {
        CLI_WITH(CONFIG) | CLI_WITH(FOLLOW) | CLI_WITH(REFUSED), CLI_FILE_OR_NONE, help};
    struct cli_options options;
    struct config *config = NULL;
    int status = cli_parse(argc, argv, &syntax, &options);
    if (status >= 0) return status;
    struct tail t = {.refused_only = options.refused,
                     .colours = isatty(STDOUT_FILENO) && !getenv("NO_COLOR")};
    if (options.operand_count > 0) {
        t.path = options.operands[0];
    } else {
        config = cli_log_config(options.config);
        if (!config) return CLI_CANNOT;
        t.path = config->audit.file;
        if (strcmp(t.path, "-") == 0) {
            fprintf(stderr, "suitegate: the configured log goes to standard output: which file?\n");
            config_free(config);
            return CLI_USAGE;
        }
    }
    status = show(&t, options.follow);
    config_free(config);
    return status;
}
