/* suitegate ca crl, suitegate ca renew. */
#include "cli/cli.h"
#include "runtime/ca_files.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char crl_help[] =
    "Usage: suitegate ca crl [-c FILE] [--out DIR]\n\n"
    "Writes the revocation list (CRL, DER) of each CA whose key is here: ca.crl of the root or\n"
    "only CA, NAME.crl of each issuing CA, as a publish listener serves them. Nothing is revoked:\n"
    "certificates live 30 days at most, and a new CA replaces one that is lost. The lists are\n"
    "valid for seven days, that of a root with issuing CAs for 400; a running proxy renews files\n"
    "beside the CA at half their life.\n\n"
    "  -c, --config FILE   configuration (default: " SUITEGATE_CONFIG ")\n"
    "      --out DIR       where to (default: beside the CA)\n"
    "  -h, --help          this text\n\n"
    "Exit status: 0 written, 2 could not, 64 wrong usage.\n";

static const char renew_help[] =
    "Usage: suitegate ca renew [-c FILE]\n\n"
    "Makes new issuing CAs where the root's key is here and one is in the last third of its life,\n"
    "is missing, or does not say where the root's list is ([ca] publish); and the revocation\n"
    "lists beside the CA that are past half their life. A running proxy does so by itself; this\n"
    "is for one that may not write there. Afterwards let it read them: SIGHUP.\n\n"
    "  -c, --config FILE   configuration (default: " SUITEGATE_CONFIG ")\n"
    "  -h, --help          this text\n\n"
    "Exit status: 0 done, or nothing was due; 2 could not, 64 wrong usage.\n";

static int report(struct text *done, struct text *errors, const char *nothing)
{
    struct text out = {0};
    int status = errors->size > 0 ? CLI_CANNOT : CLI_DONE;
    if (errors->size > 0) cli_print_errors(errors);
    for (const char *p = text_string(done); *p;) {
        int n = (int)strcspn(p, "\n");
        text_printf(&out, "Wrote %.*s.\n", n, p);
        p += n + (p[n] == '\n');
    }
    if (done->size == 0 && status == CLI_DONE) text_add(&out, nothing);
    status = cli_print(&out, status);
    text_fini(&out);
    text_fini(done);
    text_fini(errors);
    return status;
}

/* The configuration whose CA a command is about. NULL: *status is how the command ends. */
static struct config *begin(int argc, char **argv, const struct cli_syntax *syntax,
                            struct cli_options *options, int *status)
{
    *status = cli_parse(argc, argv, syntax, options);
    if (*status >= 0) return NULL;
    *status = CLI_CANNOT;
    return cli_config_load(options);
}

int cli_ca_crl(int argc, char **argv)
{
    static const struct cli_syntax syntax = {CLI_WITH(CONFIG) | CLI_WITH(OUT), CLI_NO_OPERANDS,
                                             crl_help};
    struct cli_options options;
    struct text done = {0}, errors = {0};
    int status;
    struct config *config = begin(argc, argv, &syntax, &options, &status);
    if (!config) return status;
    const struct ca_place place = ca_place_of(config);
    if (options.out && mkdir(options.out, 0755) < 0 && errno != EEXIST)
        text_printf(&errors, "%s: %s\n", options.out, strerror(errno));
    else
        ca_files_write_crls(&place, options.out ? options.out : place.directory, time(NULL), &done,
                            &errors);
    if (done.size == 0 && errors.size == 0) text_add(&errors, "no CA's key is here\n");
    config_free(config);
    return report(&done, &errors, "");
}

int cli_ca_renew(int argc, char **argv)
{
    static const struct cli_syntax syntax = {CLI_WITH(CONFIG), CLI_NO_OPERANDS, renew_help};
    struct cli_options options;
    struct text done = {0}, errors = {0};
    int status;
    struct config *config = begin(argc, argv, &syntax, &options, &status);
    if (!config) return status;
    const struct ca_place place = ca_place_of(config);
    ca_files_renew(&place, CA_RENEW, time(NULL), &done, &errors);
    bool here = access(place.key, F_OK) == 0;
    config_free(config);
    return report(&done, &errors,
                  here ? "Nothing is due.\n" : "Nothing is renewed: the root's key is not here.\n");
}
