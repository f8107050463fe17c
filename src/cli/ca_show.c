/* suitegate ca show. */
#include "base/clock.h"
#include "base/file.h"
#include "cli/cli.h"
#include "pki/crl.h"
#include "pki/name.h"
#include "runtime/ca_files.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { FILE_LIMIT = 1 << 20 };

static const char help[] = "Usage: suitegate ca show [-c FILE]\n\n"
                           "Prints the subject, fingerprint and expiry of the configured CA and of "
                           "its issuing CAs, which\n"
                           "keys are here, and where clients have to trust it.\n\n"
                           "  -c, --config FILE   configuration (default: " SUITEGATE_CONFIG ")\n"
                           "  -h, --help          this text\n\n"
                           "Exit status: 0 shown, 2 could not, 64 wrong usage.\n";

static const char where[] =
    "\nTrust %s where clients look for CAs:\n"
    "  here:     suitegate ca install\n"
    "  Debian:   cp %s /usr/local/share/ca-certificates/suitegate.crt && update-ca-certificates\n"
    "  Windows:  certutil -addstore -f Root %s\n"
    "  Java:     keytool -importcert -cacerts -alias suitegate -file %s\n"
    "  Firefox:  Settings, Privacy & Security, Certificates, View Certificates, Import\n"
    "  Node:     NODE_EXTRA_CA_CERTS=%s\n"
    "  Python:   SSL_CERT_FILE=%s (requests: REQUESTS_CA_BUNDLE)\n";

static void put_date(const char *what, time_t end, struct text *out)
{
    char when[CLOCK_TEXT_SIZE];
    clock_format_seconds(end, when);
    text_printf(out, "%s%s%s\n", what, when, end < time(NULL) ? " (expired)" : "");
}

static bool describe(const struct cert *c, struct text *out)
{
    uint8_t digest[32];
    if (!digest_sha256(c->der.p, c->der.n, digest)) return false;
    text_add(out, "Subject:      ");
    name_format(c->subject, out);
    text_add(out, "\nSHA-256:      ");
    for (size_t i = 0; i < sizeof digest; i++) text_printf(out, "%s%02X", i ? ":" : "", digest[i]);
    text_add(out, "\n");
    put_date("Expires:      ", c->not_after, out);
    if (c->name_constraints.n > 0)
        text_add(out, "Limited to:   the names of its constraints (suitegate ca init --permit)\n");
    return true;
}

struct showing {
    struct text *out;
    bool shown;
};

/* Of a file that may have expired, which ca_new() would refuse. */
static bool describe_first(void *arg, struct span der)
{
    struct showing *s = arg;
    struct cert c;
    if (s->shown) return true; /* intermediates of an old kind */
    if (!cert_parse(der, &c)) return false;
    s->shown = true;
    return describe(&c, s->out);
}

static bool show_pem(const struct text *pem, struct text *out)
{
    struct showing s = {.out = out};
    return pem_each(text_string(pem), pem->size, PEM_CERTIFICATE, describe_first, &s) && s.shown;
}

static void show_crl(const struct text *crl, struct text *out)
{
    time_t made, expires;
    struct span der = {(const uint8_t *)text_string(crl), crl->size};
    if (crl->size > 0 && crl_times(der, &made, &expires))
        put_date("CRL:          ca.crl, expires ", expires, out);
}

/* Whoever may read the certificate sees it, even if the keys are not theirs. */
static void show_issuing(const struct ca_place *place, enum key_type type, struct text *out)
{
    char path[PATH_MAX];
    struct text pem = {0};
    ca_place_issuing(place, type, path);
    if (access(path, F_OK) == 0) {
        int fault = file_read(path, FILE_LIMIT, &pem, NULL);
        text_printf(out, "\nIssuing CA for leaves with %s keys\n",
                    type == KEY_ECDSA ? "ECDSA" : "RSA");
        if (!fault && !show_pem(&pem, out)) fault = EINVAL;
        text_printf(out, "With its key: %s%s%s\n", path, fault ? ": " : "",
                    fault ? strerror(fault) : "");
    }
    text_wipe(&pem);
}

static void show_places(const struct ca_place *place, struct text *out)
{
    struct text crl = {0};
    char path[PATH_MAX];
    bool here = token_is_uri(place->key) || access(place->key, F_OK) == 0;
    text_printf(out, "Certificate:  %s\n", place->certificate);
    text_printf(out, "Key:          %s\n",
                here ? place->key : "not here; without it issuing CAs cannot be renewed");
    ca_place_file(place, "ca.crl", path);
    if (file_read(path, FILE_LIMIT, &crl, NULL) == 0) show_crl(&crl, out);
    if (place->publish) text_printf(out, "Published:    %s\n", place->publish);
    text_fini(&crl);
}

int cli_ca_show(int argc, char **argv)
{
    static const struct cli_syntax syntax = {CLI_WITH(CONFIG), CLI_NO_OPERANDS, help};
    struct cli_options options;
    struct text pem = {0}, out = {0};
    int status = cli_parse(argc, argv, &syntax, &options);
    if (status >= 0) return status;
    struct config *config = cli_config_load(&options);
    if (!config) return CLI_CANNOT;
    const struct ca_place place = ca_place_of(config);
    const char *path = place.certificate;
    int fault = file_read(path, FILE_LIMIT, &pem, NULL);
    if (!fault && show_pem(&pem, &out)) {
        show_places(&place, &out);
        for (int k = 0; k < KEY_TYPES; k++) show_issuing(&place, (enum key_type)k, &out);
        text_printf(&out, where, path, path, path, path, path, path);
        status = cli_print(&out, CLI_DONE);
    } else {
        fprintf(stderr, "suitegate: %s%s%s\n", path,
                fault ? ": " : " holds no certificate that can be read",
                fault ? strerror(fault) : "");
        status = CLI_CANNOT;
    }
    text_fini(&pem);
    text_fini(&out);
    config_free(config);
    return status;
}
