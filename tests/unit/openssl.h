/* Certificates and CRLs for the unit tests, made with the openssl command line in a temporary
 * directory. Test code only. */
#ifndef UNIT_OPENSSL_H
#define UNIT_OPENSSL_H

#include "helper.h"

#include "pki/cert.h"
#include "pki/keys.h"

#include <time.h>
#include <unistd.h>

static char directory[] = "/tmp/suitegate-unit-XXXXXX";

/* The shell command's output, in the directory; its exit status must be 0. */
UNUSED static char *run(const char *command)
{
    static char out[65536];
    struct text line = {0};
    text_printf(&line, "cd %s && { [ ! -e lib ] || . ./lib; } && { %s; } 2>&1", directory, command);
    FILE *f = popen(text_string(&line), "r");
    assert_non_null(f);
    size_t n = fread(out, 1, sizeof out - 1, f);
    out[n] = '\0';
    if (pclose(f)) fail_msg("%s: %s", command, out);
    text_fini(&line);
    return out;
}

UNUSED static void assert_shows(const char *shown, const char *part)
{
    if (!strstr(shown, part)) fail_msg("no \"%s\" in %s", part, shown);
}

UNUSED static void save(const char *name, const void *p, size_t n)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(p, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

UNUSED static void save_text(const char *name, const struct text *t)
{
    save(name, text_string(t), t->size);
}

/* A certificate's extensions, with ID for each key identifier, must be exactly these. */
UNUSED static void assert_extensions(const char *name, const char *wanted)
{
    char command[384];
    snprintf(command, sizeof command,
             "openssl x509 -in %s -noout -text -certopt no_subject,no_header,no_version,no_serial,"
             "no_signame,no_validity,no_issuer,no_pubkey,no_sigdump,no_aux | "
             "sed -E 's/([0-9A-F]{2}:){19}[0-9A-F]{2}/ID/; s/^ *//; s/ *$//; /^$/d'",
             name);
    assert_string_equal(run(command), wanted);
}

/* Functions for run()'s commands:
 *   key NAME...                      makes NAME.key (P-256)
 *   cert NAME CN KEY EXT BY [...]    makes NAME.pem for KEY.key, signed by BY.pem with BY.key,
 *                                    or by itself if BY is "self"; more options of openssl ca
 *   crl NAME BY [...]                makes NAME.crl of all revoked so far
 *   revoke NAME BY */
static const char openssl_library[] =
    "key() { for k; do openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "
    "$k.key || return; done; }\n"
    "ca() { openssl ca -batch -notext -config conf \"$@\"; }\n"
    "cert() { n=$1 k=$3 e=$4 b=$5; openssl req -new -config conf -key $k.key -subj \"/CN=$2\" "
    "-out csr && shift 5 && if [ $b = self ]; then set -- -selfsign -keyfile $k.key \"$@\"; else "
    "set -- -cert $b.pem -keyfile $b.key \"$@\"; fi && ca -in csr -out $n.pem -extensions $e "
    "\"$@\"; }\n"
    "crl() { n=$1 b=$2; shift 2; ca -gencrl -cert $b.pem -keyfile $b.key -out $n.crl \"$@\"; }\n"
    "revoke() { ca -revoke $1.pem -cert $2.pem -keyfile $2.key; }\n";

static const char openssl_config[] =
    "[req]\ndistinguished_name = dn\n[dn]\n"
    "[ca]\ndefault_ca = here\n[here]\ndatabase = index\nnew_certs_dir = .\nrand_serial = yes\n"
    "default_md = sha256\ndefault_days = 3000\ndefault_crl_days = 10\npolicy = any\n"
    "[any]\ncommonName = supplied\n"
    "[ca_ext]\nbasicConstraints = critical,CA:TRUE\nkeyUsage = critical,keyCertSign,cRLSign\n"
    "subjectKeyIdentifier = hash\nauthorityKeyIdentifier = keyid\n"
    "[bare_ext]\nbasicConstraints = critical,CA:TRUE\nkeyUsage = critical,keyCertSign,cRLSign\n"
    "subjectKeyIdentifier = none\nauthorityKeyIdentifier = none\n"
    "[leaf_ext]\nbasicConstraints = CA:FALSE\nsubjectKeyIdentifier = hash\n"
    "authorityKeyIdentifier = keyid\nsubjectAltName = DNS:gate.example\n";

UNUSED static void put(const char *name, const char *content, const char *more)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(content, f);
    fputs(more, f);
    assert_int_equal(fclose(f), 0);
}

/* more: further sections of the configuration. */
UNUSED static int openssl_begin(const char *more)
{
    if (!mkdtemp(directory)) return 1;
    put("lib", openssl_library, "");
    put("conf", openssl_config, more);
    put("index", "", "");
    put("index.attr", "unique_subject = no\n", "");
    return 0;
}

/* A group's teardown. */
UNUSED static int openssl_end(void **state)
{
    char command[128];
    (void)state;
    random_thread_fini();
    snprintf(command, sizeof command, "rm -r %s", directory);
    return system(command);
}

/* Appends the file. */
UNUSED static void load_more(struct text *t, const char *name)
{
    char path[128], block[4096];
    size_t n;
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *f = fopen(path, "r");
    if (!f) fail_msg("%s", path);
    while ((n = fread(block, 1, sizeof block, f)) > 0) text_add_bytes(t, block, n);
    fclose(f);
}

UNUSED static struct text load(const char *name)
{
    struct text t = {0};
    load_more(&t, name);
    return t;
}

UNUSED static bool keep(void *arg, struct span s)
{
    blob_bytes(arg, s.p, s.n);
    return true;
}

/* The DER of one certificate. */
UNUSED static struct span load_der(const char *name, struct blob *der)
{
    struct text t = load(name);
    der->n = 0;
    assert_true(pem_each(text_string(&t), t.size, PEM_CERTIFICATE, keep, der));
    text_fini(&t);
    return (struct span){der->p, der->n};
}

UNUSED static struct cert certificate(const char *name, struct blob *der)
{
    struct cert c;
    assert_true(cert_parse(load_der(name, der), &c));
    return c;
}

#endif
