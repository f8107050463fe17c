#include "cli/cli.h"

#include "base/file.h"
#include "pki/keys.h"
#include "pki/trust.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct option all[] = {
    {"config", required_argument, NULL, 'c'},  {"key-type", required_argument, NULL, 'k'},
    {"out", required_argument, NULL, 'o'},     {"key", required_argument, NULL, 'y'},
    {"since", required_argument, NULL, 's'},   {"until", required_argument, NULL, 'u'},
    {"json", no_argument, NULL, 'j'},          {"html", no_argument, NULL, 'w'},
    {"follow", no_argument, NULL, 'f'},        {"refused", no_argument, NULL, 'r'},
    {"ca", required_argument, NULL, 'a'},      {"name", required_argument, NULL, 'n'},
    {"timeout", required_argument, NULL, 't'}, {"starttls", required_argument, NULL, 'S'},
    {"file", required_argument, NULL, 'l'},    {"report", required_argument, NULL, 'p'},
    {"help", no_argument, NULL, 'h'}};

static bool take_option(int letter, struct cli_options *out)
{
    switch (letter) {
    case 'c':
        out->config = optarg;
        return true;
    case 'k':
        out->key_type = optarg;
        return true;
    case 'o':
        out->out = optarg;
        return true;
    case 'y':
        out->key = optarg;
        return true;
    case 's':
        out->since = optarg;
        return true;
    case 'u':
        out->until = optarg;
        return true;
    case 'a':
        if (out->ca_count == CLI_CAS) return false;
        out->cas[out->ca_count++] = optarg;
        return true;
    case 'n':
        out->name = optarg;
        return true;
    case 't':
        out->timeout = optarg;
        return true;
    case 'S':
        out->starttls = optarg;
        return true;
    case 'l':
        out->list = optarg;
        return true;
    case 'p':
        out->report = optarg;
        return true;
    case 'j':
        out->json = true;
        return true;
    case 'w':
        out->html = true;
        return true;
    case 'f':
        out->follow = true;
        return true;
    case 'r':
        out->refused = true;
        return true;
    default:
        return false;
    }
}

int cli_parse(int argc, char **argv, const char *allowed, const char *help, struct cli_options *out)
{
    struct option options[COUNT_OF(all) + 1] = {0};
    size_t n = 0;
    for (size_t i = 0; i < COUNT_OF(all); i++)
        if (all[i].val == 'h' || strchr(allowed, all[i].val)) options[n++] = all[i];
    *out = (struct cli_options){0};
    optind = 1;
    int letter;
    char letters[16];
    snprintf(letters, sizeof letters, "%s%s%s%sh", strchr(allowed, '+') ? "+" : "",
             strchr(allowed, 'c') ? "c:" : "", strchr(allowed, 'f') ? "f" : "",
             strchr(allowed, 'l') ? "f:" : "");
    while ((letter = getopt_long(argc, argv, letters, options, NULL)) != -1) {
        if (letter == 'f' && strchr(allowed, 'l')) letter = 'l';
        if (letter == 'h') {
            fputs(help, stdout);
            return CLI_DONE;
        }
        if (take_option(letter, out)) continue;
        fprintf(stderr, "Try: suitegate --help\n");
        return CLI_USAGE;
    }
    out->files = argv + optind;
    out->file_count = (size_t)(argc - optind);
    if (strchr(allowed, 'F') && out->file_count == 0) {
        fprintf(stderr, "suitegate log %s: which file?\n", argv[0]);
        return CLI_USAGE;
    }
    if (strpbrk(allowed, "F*") || out->file_count <= (strchr(allowed, '1') != NULL)) return -1;
    fprintf(stderr, "suitegate %s: unexpected argument \"%s\"\n", argv[0], argv[optind]);
    return CLI_USAGE;
}

static bool count_certificate(void *arg, struct span der)
{
    struct cert c;
    *(size_t *)arg += cert_parse(der, &c);
    return true;
}

/* A file without a certificate is a mistake: better said here than as untrusted servers. */
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
    text_add(out, "\n"); /* the next file's first line stands alone */
    text_fini(&pem);
    return ok && certificates > 0;
}

bool cli_anchors(const struct cli_options *options, struct text *out, struct text *errors)
{
    const char *own = getenv("SSL_CERT_FILE");
    bool ok = true;
    /* A machine without the system's roots has --ca. */
    if (access(TRUST_SYSTEM_BUNDLE, R_OK) == 0 || options->ca_count == 0)
        ok = add_anchors(TRUST_SYSTEM_BUNDLE, out, errors);
    if (own && *own) ok = add_anchors(own, out, errors) && ok;
    for (size_t i = 0; i < options->ca_count; i++)
        ok = add_anchors(options->cas[i], out, errors) && ok;
    return ok;
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
