#include "pki/ca.h"
#include "base/clock.h"
#include "base/file.h"
#include "cli/cli.h"
#include "config/config.h"
#include "pki/cert.h"
#include "pki/name.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char help[] = "Usage: suitegate ca init [--key-type rsa|ecdsa] [--out DIR]\n"
                           "       suitegate ca show [-c FILE]\n\n"
                           "init makes a local CA; show tells about the configured one.\n"
                           "Try: suitegate ca init --help\n";

static const char init_help[] =
    "Usage: suitegate ca init [--key-type rsa|ecdsa] [--out DIR]\n\n"
    "Makes a local CA: DIR/ca.pem, to be trusted by clients, and DIR/ca.key (mode 0600),\n"
    "which must never leave this machine. Existing files are not overwritten.\n\n"
    "      --key-type TYPE   rsa (3072 bits, the default: every client can verify it) or\n"
    "                        ecdsa (P-256)\n"
    "      --out DIR         where to (default: the current directory)\n"
    "  -h, --help            this text\n\n"
    "Exit status: 0 made, 2 could not, 64 wrong usage.\n";

static const char show_help[] =
    "Usage: suitegate ca show [-c FILE]\n\n"
    "Prints the subject, fingerprint and expiry of the configured CA, and where clients\n"
    "have to trust it.\n\n"
    "  -c, --config FILE   configuration (default: " SUITEGATE_CONFIG ")\n"
    "  -h, --help          this text\n\n"
    "Exit status: 0 shown, 2 could not, 64 wrong usage.\n";

static int complain(const char *path, int fault)
{
    if (fault == EEXIST)
        fprintf(stderr, "suitegate: %s exists already and is not overwritten\n", path);
    else
        fprintf(stderr, "suitegate: %s: %s\n", path, strerror(fault));
    return CLI_CANNOT;
}

/* The key first: a certificate without its key is useless. */
static int write_pair(const char *directory, const struct text *certificate, const struct text *key)
{
    char pem[4096], private[4096];
    if (snprintf(pem, sizeof pem, "%s/ca.pem", directory) >= (int)sizeof pem ||
        snprintf(private, sizeof private, "%s/ca.key", directory) >= (int)sizeof private)
        return complain(directory, ENAMETOOLONG);
    if (access(pem, F_OK) == 0) return complain(pem, EEXIST);
    int fault = file_create(private, 0600, text_string(key));
    if (fault) return complain(private, fault);
    fault = file_create(pem, 0644, text_string(certificate));
    if (fault) {
        unlink(private);
        return complain(pem, fault);
    }
    printf("Made %s (let clients trust it) and %s (keep it here).\n", pem, private);
    return CLI_DONE;
}

static int init(int argc, char **argv)
{
    static const struct cli_syntax syntax = {CLI_WITH(KEY_TYPE) | CLI_WITH(OUT), CLI_NO_OPERANDS,
                                             init_help};
    struct cli_options options;
    struct text certificate = {0}, key = {0};
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
    const char *directory = options.out ? options.out : ".";
    if (mkdir(directory, 0755) < 0 && errno != EEXIST) return complain(directory, errno);
    if (ca_create(type, CA_RSA_BITS, time(NULL), &certificate, &key)) {
        status = write_pair(directory, &certificate, &key);
    } else {
        fprintf(stderr, "suitegate: cannot make a key or sign with it\n");
        status = CLI_CANNOT;
    }
    if (key.data) explicit_bzero(key.data, key.size);
    text_fini(&key);
    text_fini(&certificate);
    return status;
}

static bool describe(void *arg, struct span der)
{
    struct text *out = arg;
    struct cert c;
    uint8_t digest[32];
    char end[CLOCK_TEXT_SIZE];
    if (out->size) return true; /* only the first certificate is the CA */
    if (!cert_parse(der, &c) || !digest_sha256(der.p, der.n, digest)) return false;
    text_add(out, "Subject:      ");
    name_format(c.subject, out);
    text_add(out, "\nSHA-256:      ");
    for (size_t i = 0; i < sizeof digest; i++) text_printf(out, "%s%02X", i ? ":" : "", digest[i]);
    clock_format_seconds(c.not_after, end);
    text_printf(out, "\nExpires:      %s%s\n", end, c.not_after < time(NULL) ? " (expired)" : "");
    return true;
}

static const char where[] =
    "\nTrust it where clients look for CAs:\n"
    "  Debian:   cp %s /usr/local/share/ca-certificates/suitegate.crt && update-ca-certificates\n"
    "  Windows:  certutil -addstore -f Root %s\n"
    "  Java:     keytool -importcert -cacerts -alias suitegate -file %s\n"
    "  Firefox:  Settings, Privacy & Security, Certificates, View Certificates, Import\n"
    "  Node:     NODE_EXTRA_CA_CERTS=%s\n"
    "  Python:   SSL_CERT_FILE=%s (requests: REQUESTS_CA_BUNDLE)\n";

static int show(int argc, char **argv)
{
    static const struct cli_syntax syntax = {CLI_WITH(CONFIG), CLI_NO_OPERANDS, show_help};
    struct cli_options options;
    struct text errors = {0}, pem = {0}, out = {0};
    int status = cli_parse(argc, argv, &syntax, &options);
    if (status >= 0) return status;
    struct config *config =
        config_load(options.config ? options.config : SUITEGATE_CONFIG, &errors);
    if (!config) {
        cli_print_errors(&errors);
        text_fini(&errors);
        return CLI_CANNOT;
    }
    const char *path = config->ca.certificate;
    int fault = file_read(path, 1 << 20, &pem, NULL);
    if (fault) {
        status = complain(path, fault);
    } else if (pem_each(text_string(&pem), pem.size, PEM_CERTIFICATE, describe, &out) && out.size) {
        text_printf(&out, "Certificate:  %s\n", path);
        text_printf(&out, where, path, path, path, path, path);
        status = cli_print(&out, CLI_DONE);
    } else {
        fprintf(stderr, "suitegate: %s holds no certificate that can be read\n", path);
        status = CLI_CANNOT;
    }
    text_fini(&pem);
    text_fini(&out);
    config_free(config);
    return status;
}

int cli_ca(int argc, char **argv)
{
    static const struct cli_command commands[] = {{"init", init}, {"show", show}};
    return cli_dispatch(commands, COUNT_OF(commands), help, argc, argv);
}
