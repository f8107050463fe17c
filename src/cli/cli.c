#include "cli/cli.h"

#include "base/file.h"
#include "config/config.h"
#include "pki/keys.h"
#include "pki/trust.h"

#include <getopt.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int cli_dispatch(const struct cli_command *commands, size_t count, const char *help, int argc,
                 char **argv)
{
    char whole[64];
    const char *name = argc > 1 ? argv[1] : "";
    bool asked = strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(name, commands[i].name) != 0) continue;
        snprintf(whole, sizeof whole, "%s %s", argv[0], name);
        argv[1] = whole;
        return commands[i].run(argc - 1, argv + 1);
    }
    if (*name && !asked)
        fprintf(stderr, "%s: unknown command \"%s\"; try: %s --help\n", argv[0], name, argv[0]);
    else
        fputs(help, asked ? stdout : stderr);
    return asked ? CLI_DONE : CLI_USAGE;
}

enum kind { VALUE, REPEATS, FLAG };

static const struct row {
    size_t member;
    const char *name;
    char letter;
    enum kind kind;
} rows[] = {
#define CLI_OPTION(id, member, name, letter, kind) \
    {offsetof(struct cli_options, member), name, letter, kind},
#include "cli/options.def"
#undef CLI_OPTION
};

enum { HELP = CLI_OPTIONS };

static bool add_to(struct cli_list *list, const char *value)
{
    if (list->n == CLI_LIST_LIMIT) return false;
    list->items[list->n++] = value;
    return true;
}

static bool take(const struct row *row, struct cli_options *out)
{
    void *member = (char *)out + row->member;
    if (row->kind == FLAG)
        *(bool *)member = true;
    else if (row->kind == VALUE)
        *(const char **)member = optarg;
    else
        return add_to(member, optarg);
    return true;
}

/* The letters and long options for getopt_long(); an option's value is its row. */
static void describe(const struct cli_syntax *syntax, char letters[2 * CLI_OPTIONS + 3],
                     struct option options[CLI_OPTIONS + 2])
{
    if (syntax->operands == CLI_COMMAND) *letters++ = '+';
    for (int i = 0; i < CLI_OPTIONS; i++) {
        if (!(syntax->options & 1u << i)) continue;
        int argument = rows[i].kind == FLAG ? no_argument : required_argument;
        *options++ = (struct option){rows[i].name, argument, NULL, i};
        if (!rows[i].letter) continue;
        *letters++ = rows[i].letter;
        if (argument == required_argument) *letters++ = ':';
    }
    *options = (struct option){"help", no_argument, NULL, HELP};
    *letters++ = 'h';
    *letters = '\0';
}

static int row_of(const struct cli_syntax *syntax, int found)
{
    if (found < CLI_OPTIONS) return found;
    if (found == 'h') return HELP;
    for (int i = 0; i < CLI_OPTIONS; i++)
        if (syntax->options & 1u << i && rows[i].letter == found) return i;
    return found;
}

static int check_operands(const char *command, const struct cli_syntax *syntax,
                          const struct cli_options *given)
{
    size_t most = syntax->operands == CLI_NO_OPERANDS    ? 0
                  : syntax->operands == CLI_FILE_OR_NONE ? 1
                                                         : SIZE_MAX;
    if (syntax->operands == CLI_FILES && given->operand_count == 0) {
        fprintf(stderr, "%s: which file? Try: %s --help\n", command, command);
        return CLI_USAGE;
    }
    if (given->operand_count <= most) return -1;
    fprintf(stderr, "%s: unexpected argument \"%s\"; try: %s --help\n", command,
            given->operands[most], command);
    return CLI_USAGE;
}

int cli_parse(int argc, char **argv, const struct cli_syntax *syntax, struct cli_options *out)
{
    struct option options[CLI_OPTIONS + 2] = {0};
    char letters[2 * CLI_OPTIONS + 3];
    int found;
    describe(syntax, letters, options);
    *out = (struct cli_options){0};
    optind = 1;
    while ((found = getopt_long(argc, argv, letters, options, NULL)) != -1) {
        int row = row_of(syntax, found);
        if (row == HELP) {
            fputs(syntax->help, stdout);
            return CLI_DONE;
        }
        if (row < CLI_OPTIONS && take(&rows[row], out)) continue;
        if (row < CLI_OPTIONS)
            fprintf(stderr, "%s: --%s at most %d times\n", argv[0], rows[row].name, CLI_LIST_LIMIT);
        fprintf(stderr, "Try: %s --help\n", argv[0]);
        return CLI_USAGE;
    }
    out->operands = argv + optind;
    out->operand_count = (size_t)(argc - optind);
    return check_operands(argv[0], syntax, out);
}

static bool count_certificate(void *arg, struct span der)
{
    struct cert c;
    *(size_t *)arg += cert_parse(der, &c);
    return true;
}

/* A file without a certificate is a mistake: report it here instead of untrusted servers. */
static bool add_anchors(const char *path, struct text *out, struct text *errors)
{
    enum { LARGEST = 64 << 20 };
    struct text pem = {0};
    size_t certificates = 0;
    int fault = file_read(path, LARGEST, &pem, NULL);
    bool ok = !fault && pem_each(text_string(&pem), pem.size, PEM_CERTIFICATE, count_certificate,
                                 &certificates);
    if (fault)
        text_printf(errors, "%s: %s\n", path, strerror(fault));
    else if (!ok || certificates == 0)
        text_printf(errors, "%s holds no CA certificate that can be read (PEM is expected)\n",
                    path);
    text_add_bytes(out, text_string(&pem), pem.size);
    text_add(out, "\n"); /* the next file begins on a new line */
    text_fini(&pem);
    return ok && certificates > 0;
}

bool cli_anchors(const struct cli_options *options, struct text *out, struct text *errors)
{
    const char *own = getenv("SSL_CERT_FILE");
    bool ok = true;
    /* Without the system's roots, --ca is enough. */
    if (access(TRUST_SYSTEM_BUNDLE, R_OK) == 0 || options->cas.n == 0)
        ok = add_anchors(TRUST_SYSTEM_BUNDLE, out, errors);
    if (own && *own) ok = add_anchors(own, out, errors) && ok;
    for (size_t i = 0; i < options->cas.n; i++)
        ok = add_anchors(options->cas.items[i], out, errors) && ok;
    return ok;
}

struct config *cli_config_load(const struct cli_options *options)
{
    struct text errors = {0};
    struct config *c = config_load(options->config ? options->config : SUITEGATE_CONFIG, &errors);
    if (!c) cli_print_errors(&errors);
    text_fini(&errors);
    return c;
}

void cli_print_errors(const struct text *errors)
{
    const char *p = text_string(errors);
    if (!*p) p = "out of memory\n";
    while (*p) {
        size_t n = strcspn(p, "\n");
        fprintf(stderr, "suitegate: %.*s\n", (int)n, p);
        p += n + (p[n] == '\n');
    }
}

int cli_print(const struct text *text, int status)
{
    if (text->failed) {
        fprintf(stderr, "suitegate: out of memory\n");
        return CLI_CANNOT;
    }
    if (fputs(text_string(text), stdout) >= 0 && fflush(stdout) == 0) return status;
    perror("suitegate: standard output");
    return CLI_CANNOT;
}
