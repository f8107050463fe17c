#include "base/file.h"
#include "cli/cli.h"
#include "pki/permit.h"
#include "runtime/ca_files.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char help[] =
    "Usage: suitegate ca init [--key-type rsa|ecdsa] [--permit PATTERN]... [--out DIR]\n"
    "       suitegate ca show [-c FILE]\n"
    "       suitegate ca crl [-c FILE] [--out DIR]\n"
    "       suitegate ca renew [-c FILE]\n"
    "       suitegate ca install | uninstall [-c FILE]\n\n"
    "init makes a local CA; show prints the configured one and what is where; crl writes its\n"
    "revocation lists; renew makes new issuing CAs if they are due; install lets this machine's\n"
    "programs trust it.\n"
    "Try: suitegate ca init --help\n";

static const char init_help[] =
    "Usage: suitegate ca init [--key-type rsa|ecdsa] [--permit PATTERN]... [--out DIR]\n\n"
    "Makes a local CA, a root for ten years with two issuing CAs below it for a year:\n\n"
    "  DIR/ca.pem               to be trusted by clients\n"
    "  DIR/ca.key               the root's key (mode 0600). Only renewing needs it, once a year: "
    "it\n"
    "                           may be kept elsewhere\n"
    "  DIR/issuing-ecdsa.pem    with its key (0600): signs certificates for clients that can use\n"
    "                           ECDSA\n"
    "  DIR/issuing-rsa.pem      with its key (0600): for those that cannot\n"
    "  DIR/ca.crl               the root's revocation list\n\n"
    "Existing files are not overwritten.\n\n"
    "      --key-type TYPE   of the root: rsa (3072 bits, the default: every client can verify "
    "it)\n"
    "                        or ecdsa (P-256)\n"
    "      --permit PATTERN  name constraints: it may issue only for this name and those below "
    "it,\n"
    "                        or this range of addresses; repeats\n"
    "      --out DIR         where to (default: the current directory)\n"
    "  -h, --help            this text\n\n"
    "Exit status: 0 made, 2 could not, 64 wrong usage.\n";

static int complain(const char *path, int fault)
{
    if (fault == EEXIST)
        fprintf(stderr, "suitegate: %s exists already and is not overwritten\n", path);
    else
        fprintf(stderr, "suitegate: %s: %s\n", path, strerror(fault));
    return CLI_CANNOT;
}

enum { ROOT_FILES = 4, ALL_FILES = ROOT_FILES + KEY_TYPES };

/* The files that init makes. */
static void name_file(const struct ca_place *place, int i, char out[PATH_MAX])
{
    static const char *const names[ROOT_FILES] = {"ca.key", "ca.pem", "ca.pem.new", "ca.crl"};
    if (i < ROOT_FILES)
        ca_place_file(place, names[i], out);
    else
        ca_place_issuing(place, (enum key_type)(i - ROOT_FILES), out);
}

static int check_free(const struct ca_place *place)
{
    for (int i = 0; i < ALL_FILES; i++) {
        char path[PATH_MAX];
        name_file(place, i, path);
        if (access(path, F_OK) == 0) return complain(path, EEXIST);
    }
    return CLI_DONE;
}

/* The rest of a CA that could not be finished would be in the way of the next one. */
static int undo(const struct ca_place *place)
{
    for (int i = 0; i < ALL_FILES; i++) {
        char path[PATH_MAX];
        name_file(place, i, path);
        unlink(path);
    }
    return CLI_CANNOT;
}

static int write_all(const char *directory, const struct text *certificate, const struct text *key)
{
    char pem[PATH_MAX], next[PATH_MAX], private[PATH_MAX];
    struct ca_place place = {.certificate = next, .key = private};
    struct text done = {0}, errors = {0};
    if (snprintf(place.directory, sizeof place.directory, "%s", directory) >= PATH_MAX - 32)
        return complain(directory, ENAMETOOLONG);
    ca_place_file(&place, "ca.pem", pem);
    ca_place_file(&place, "ca.pem.new", next);
    ca_place_file(&place, "ca.key", private);
    if (check_free(&place) != CLI_DONE) return CLI_CANNOT;
    int fault = file_create(private, 0600, key);
    if (fault) return complain(private, fault);
    fault = file_create(next, 0644, certificate);
    if (fault) {
        complain(pem, fault);
        return undo(&place);
    }
    int status = CLI_DONE;
    ca_files_renew(&place, CA_RENEW_ALL, time(NULL), &done, &errors);
    /* Last, so that a CA without its issuing CAs is never taken for one that signs leaves itself.
     */
    if (errors.size == 0 && rename(next, pem) < 0)
        text_printf(&errors, "%s: %s\n", pem, strerror(errno));
    if (errors.size > 0) {
        cli_print_errors(&errors);
        status = undo(&place);
    } else {
        printf("Made %s (let clients trust it), its issuing CAs, and %s, which may be kept "
               "elsewhere.\n",
               pem, private);
    }
    text_fini(&done);
    text_fini(&errors);
    return status;
}

static bool read_permits(const struct cli_list *permits, uint8_t buffer[PERMIT_LIMIT],
                         struct span *out)
{
    struct pattern patterns[CLI_LIST_LIMIT];
    *out = (struct span){0};
    for (size_t i = 0; i < permits->n; i++) {
        struct span one;
        if (pattern_from_text(permits->items[i], &patterns[i]) &&
            permit_encode(&patterns[i], 1, buffer, &one))
            continue;
        fprintf(stderr,
                "suitegate ca init: --permit takes a name, such as example.com, or addresses, such "
                "as 10.0.0.0/8, without a port; not \"%s\"\n",
                permits->items[i]);
        return false;
    }
    if (permits->n == 0 || permit_encode(patterns, permits->n, buffer, out)) return true;
    fprintf(stderr, "suitegate ca init: --permit: too many names\n");
    return false;
}

static int init(int argc, char **argv)
{
    static const struct cli_syntax syntax = {CLI_WITH(KEY_TYPE) | CLI_WITH(PERMIT) | CLI_WITH(OUT),
                                             CLI_NO_OPERANDS, init_help};
    struct cli_options options;
    struct text certificate = {0}, key = {0};
    uint8_t buffer[PERMIT_LIMIT];
    struct span constraints;
    int status = cli_parse(argc, argv, &syntax, &options);
    if (status >= 0) return status;
    enum key_type type = KEY_RSA;
    if (options.key_type && strcmp(options.key_type, "ecdsa") == 0) {
        type = KEY_ECDSA;
    } else if (options.key_type && strcmp(options.key_type, "rsa") != 0) {
        fprintf(stderr, "suitegate ca init: --key-type is rsa or ecdsa, not \"%s\"\n",
                options.key_type);
        return CLI_USAGE;
    }
    if (!read_permits(&options.permits, buffer, &constraints)) return CLI_USAGE;
    const char *directory = options.out ? options.out : ".";
    if (mkdir(directory, 0755) < 0 && errno != EEXIST) return complain(directory, errno);
    if (ca_create(type, CA_ROOT_BITS, 1, constraints, time(NULL), &certificate, &key)) {
        status = write_all(directory, &certificate, &key);
    } else {
        fprintf(stderr, "suitegate: cannot make a key or sign with it\n");
        status = CLI_CANNOT;
    }
    text_wipe(&key);
    text_fini(&certificate);
    return status;
}

int cli_ca(int argc, char **argv)
{
    static const struct cli_command commands[] = {
        {"init", init},          {"show", cli_ca_show},       {"crl", cli_ca_crl},
        {"renew", cli_ca_renew}, {"install", cli_ca_install}, {"uninstall", cli_ca_uninstall}};
    return cli_dispatch(commands, COUNT_OF(commands), help, argc, argv);
}
