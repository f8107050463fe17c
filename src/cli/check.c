#include "cli/check.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/units.h"
#include "check/jobs.h"
#include "cli/cli.h"
#include "policy/hello.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

static const char help[] =
    "Usage: suitegate check [--json] [--ca FILE]... [--name NAME] [--timeout T]\n"
    "                       [--starttls smtp] [-f FILE] HOST[:PORT]...\n\n"
    "Is this server fit for the policy? Asks it for every protocol, suite and group, shakes\n"
    "hands with each approved suite, judges its certificate as the proxy would, and says what\n"
    "to change. PORT is 443, with --starttls smtp 25, where it is not given. Opens at most four\n"
    "connections at once to one host.\n\n"
    "      --json           one JSON object instead of text\n"
    "      --ca FILE        trust these CAs too (PEM), beside the system's and those of the\n"
    "                       environment's SSL_CERT_FILE\n"
    "      --name NAME      send and verify this name instead of HOST\n"
    "      --timeout T      for one host in all, such as 30s (default: 60s)\n"
    "      --starttls smtp  a mail server: STARTTLS first\n"
    "  -f, --file FILE      further hosts, one a line; - for standard input\n"
    "  -h, --help           this text\n\n"
    "Exit status: 0 compliant, 3 compliant with findings, 1 not compliant, 2 could not tell,\n"
    "64 wrong usage. Of several hosts: 1 if any is not compliant, else 2, else 3.\n";

enum {
    HOSTS_AT_ONCE = 8,
    HOSTS_LIMIT = 10000,
    LIST_LIMIT = 1 << 20,
    PORT_HTTPS = 443,
    PORT_SMTP = 25
};

static const int statuses[] = {[NOT_COMPLIANT] = CLI_NO,
                               [COULD_NOT_TELL] = CLI_CANNOT,
                               [COMPLIANT_WITH_FINDINGS] = CLI_FINDINGS,
                               [COMPLIANT] = CLI_DONE};

struct check {
    struct host_options options;
    struct limiter *limiter;
    struct target *targets;
    struct host_report *reports;
    size_t n;
    uint16_t default_port;
    char name[TARGET_HOST_SIZE]; /* of --name */
    atomic_uint connections, done;
    /* The progress line. */
    pthread_mutex_t lock;
    pthread_cond_t over;
    bool ended;
};

/* "host", "host:port", "[v6]:port" and a bare IPv6 address; any of them within "https://.../". */
static bool read_target(const struct check *c, const char *given, struct target *out)
{
    static const char scheme[] = "https://";
    char s[TARGET_TEXT_SIZE], text[TARGET_TEXT_SIZE];
    struct addr ip;
    bool url = strncasecmp(given, scheme, sizeof scheme - 1) == 0;
    if (url) given += sizeof scheme - 1;
    size_t length = url ? strcspn(given, "/?#") : strlen(given);
    if (length >= sizeof s) return false;
    memcpy(s, given, length);
    s[length] = '\0';
    if (target_from_text(s, length, out)) return true;
    bool v6 = addr_from_ip(s, 0, &ip) && ip.sa.sa_family == AF_INET6;
    int n = snprintf(text, sizeof text, v6 ? "[%s]:%u" : "%s:%u", s, c->default_port);
    return n > 0 && (size_t)n < sizeof text && target_from_text(text, (size_t)n, out);
}

static bool add_target(struct check *c, const char *s)
{
    struct target target;
    if (!read_target(c, s, &target)) {
        struct text shown = {0};
        text_add_visible(&shown, s, 80);
        bool foreign = false;
        for (const char *p = s; *p; p++) foreign = foreign || (unsigned char)*p > 127;
        fprintf(stderr, "suitegate check: \"%s\" is not HOST, HOST:PORT or [IPv6]:PORT%s\n",
                text_string(&shown),
                foreign ? " (an international name is written xn--...: RFC 5891)" : "");
        text_fini(&shown);
        return false;
    }
    if (c->n == HOSTS_LIMIT) {
        fprintf(stderr, "suitegate check: more than %d hosts\n", HOSTS_LIMIT);
        return false;
    }
    struct target *more = realloc(c->targets, (c->n + 1) * sizeof *more);
    if (!more) return false;
    c->targets = more;
    more[c->n++] = target;
    return true;
}

/* One line of a list: a host, or empty. -1: go on. */
static int read_line(struct check *c, const char *path, unsigned number, char *line)
{
    line[strcspn(line, "#\r")] = '\0';
    line += strspn(line, " \t");
    size_t n = strcspn(line, " \t");
    bool more = line[n + strspn(line + n, " \t")] != '\0';
    if (!*line) return -1;
    if (!more) line[n] = '\0';
    if (add_target(c, line)) return -1;
    fprintf(stderr, "suitegate check: %s:%u: one host a line is expected\n", path, number);
    return CLI_USAGE;
}

/* One host per line; # begins a comment. */
static int read_list(struct check *c, const char *path)
{
    struct text list = {0};
    int fault = file_read(strcmp(path, "-") ? path : "/dev/stdin", LIST_LIMIT, &list, NULL);
    int status = -1;
    if (fault) {
        fprintf(stderr, "suitegate check: %s: %s\n", path, strerror(fault));
        status = CLI_CANNOT;
    }
    static const char bom[] = "\xef\xbb\xbf"; /* the byte order bom of some editors */
    char *rest = list.data;
    unsigned number = 0;
    if (rest && strncmp(rest, bom, sizeof bom - 1) == 0) rest += sizeof bom - 1;
    for (char *line; !fault && status < 0 && (line = strsep(&rest, "\n")) != NULL;)
        status = read_line(c, path, ++number, line);
    text_fini(&list);
    return status;
}

static void check_one(void *context, size_t i)
{
    struct check *c = context;
    host_check(&c->options, &c->targets[i], &c->reports[i]);
    atomic_fetch_add(&c->done, 1);
}

static void *show_progress(void *arg)
{
    enum { TICK_NS = 200000000 };
    struct check *c = arg;
    pthread_mutex_lock(&c->lock);
    while (!c->ended) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += TICK_NS;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&c->over, &c->lock, &until);
        fprintf(stderr, "\r%u of %zu hosts, %u connections", atomic_load(&c->done), c->n,
                atomic_load(&c->connections));
    }
    pthread_mutex_unlock(&c->lock);
    fprintf(stderr, "\r%60s\r", "");
    return NULL;
}

static void run(struct check *c)
{
    struct job *jobs = calloc(c->n, sizeof *jobs);
    pthread_t progress;
    if (!jobs) return;
    for (size_t i = 0; i < c->n; i++) jobs[i] = (struct job){check_one, i};
    bool shown = isatty(STDERR_FILENO) && pthread_create(&progress, NULL, show_progress, c) == 0;
    jobs_run(jobs, c->n, c, HOSTS_AT_ONCE);
    if (shown) {
        pthread_mutex_lock(&c->lock);
        c->ended = true;
        pthread_cond_signal(&c->over);
        pthread_mutex_unlock(&c->lock);
        pthread_join(progress, NULL);
    }
    free(jobs);
}

static int report(const struct check *c, bool json)
{
    struct text out = {0};
    enum compliance worst = COMPLIANT;
    for (size_t i = 0; i < c->n; i++)
        if (c->reports[i].judgement.verdict < worst) worst = c->reports[i].judgement.verdict;
    if (json)
        check_put_json(c->reports, c->n, &c->options, worst, &out);
    else if (c->n == 1)
        check_put_host(&c->reports[0], &out);
    else
        check_put_table(c->reports, c->n, &out);
    int status = cli_print(&out, statuses[worst]);
    text_fini(&out);
    return status;
}

/* Reads the options. -1: go on. */
static int read_options(struct check *c, const struct cli_options *o)
{
    uint64_t timeout_ms = 60000;
    if (o->timeout && (!units_duration(o->timeout, 3600000, &timeout_ms) || timeout_ms < 100)) {
        fprintf(stderr, "suitegate check: --timeout is 100ms to 1h, such as 30s, not \"%s\"\n",
                o->timeout);
        return CLI_USAGE;
    }
    if (o->starttls && strcmp(o->starttls, "smtp") != 0) {
        fprintf(stderr, "suitegate check: --starttls is smtp, not \"%s\"\n", o->starttls);
        return CLI_USAGE;
    }
    struct addr ip;
    size_t length = o->name ? strlen(o->name) : 0;
    if (length > 1 && o->name[length - 1] == '.') length--; /* the root's dot */
    if (o->name && (length >= sizeof c->name ||
                    (!hello_name_is_valid(o->name, length) && !addr_from_ip(o->name, 0, &ip)))) {
        fprintf(stderr, "suitegate check: --name is a host name or an IP address\n");
        return CLI_USAGE;
    }
    c->options.timeout = (int64_t)timeout_ms * 1000000;
    c->options.smtp = o->starttls != NULL;
    snprintf(c->name, sizeof c->name, "%.*s", (int)length, o->name ? o->name : "");
    c->options.name = o->name ? c->name : NULL;
    c->options.connections = &c->connections;
    c->options.limiter = c->limiter;
    c->options.trust.policy = (struct policy){.allowed = policy_profile_suites(PROFILE_2021),
                                              .minimum_rsa_bits = POLICY_RSA_BITS_FLOOR};
    c->default_port = o->starttls ? PORT_SMTP : PORT_HTTPS;
    for (size_t i = 0; i < o->operand_count; i++)
        if (!add_target(c, o->operands[i])) return CLI_USAGE;
    int status = o->list ? read_list(c, o->list) : -1;
    if (status >= 0) return status;
    if (c->n > 0) return -1;
    fprintf(stderr, "suitegate check: which host? Try: suitegate check --help\n");
    return CLI_USAGE;
}

/* Reports an unusable CA file once, now, instead of for every host. */
static bool try_anchors(const struct scan_trust *trust, struct text *errors)
{
    struct trust *t =
        trust_new(trust->anchors, trust->name, NULL, NULL, trust->policy.minimum_rsa_bits, errors);
    trust_free(t);
    return t != NULL;
}

int cli_check(int argc, char **argv)
{
    static const struct cli_syntax syntax = {CLI_WITH(JSON) | CLI_WITH(CA) | CLI_WITH(NAME) |
                                                 CLI_WITH(TIMEOUT) | CLI_WITH(STARTTLS) |
                                                 CLI_WITH(LIST),
                                             CLI_OPERANDS, help};
    struct cli_options options;
    struct text anchors = {0}, errors = {0};
    struct check c = {.limiter = NULL};
    int status = cli_parse(argc, argv, &syntax, &options);
    if (status >= 0) return status;
    c.limiter = limiter_new();
    if (!c.limiter) return CLI_CANNOT;
    pthread_mutex_init(&c.lock, NULL);
    pthread_cond_init(&c.over, NULL);
    status = read_options(&c, &options);
    c.options.trust.anchors = &anchors;
    c.options.trust.name = "the trusted CAs";
    if (status < 0 &&
        (!cli_anchors(&options, &anchors, &errors) || !try_anchors(&c.options.trust, &errors))) {
        cli_print_errors(&errors);
        status = CLI_CANNOT;
    }
    if (status < 0) {
        c.reports = calloc(c.n, sizeof *c.reports);
        if (c.reports) run(&c);
        status = c.reports ? report(&c, options.json) : CLI_CANNOT;
        for (size_t i = 0; c.reports && i < c.n; i++) host_report_fini(&c.reports[i]);
        free(c.reports);
    }
    limiter_free(c.limiter);
    free(c.targets);
    text_fini(&anchors);
    text_fini(&errors);
    pthread_cond_destroy(&c.over);
    pthread_mutex_destroy(&c.lock);
    return status;
}
