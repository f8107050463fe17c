#include "cli/cli.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

static const struct option all[] = {
    {"config", required_argument, NULL, 'c'}, {"key-type", required_argument, NULL, 'k'},
    {"out", required_argument, NULL, 'o'},    {"key", required_argument, NULL, 'y'},
    {"since", required_argument, NULL, 's'},  {"until", required_argument, NULL, 'u'},
    {"json", no_argument, NULL, 'j'},         {"html", no_argument, NULL, 'w'},
    {"follow", no_argument, NULL, 'f'},       {"refused", no_argument, NULL, 'r'},
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
    const char *letters = strchr(allowed, 'f') ? "c:fh" : strchr(allowed, 'c') ? "c:h" : "h";
    while ((letter = getopt_long(argc, argv, letters, options, NULL)) != -1) {
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
    if (strchr(allowed, 'F') || out->file_count <= (strchr(allowed, '1') != NULL)) return -1;
    fprintf(stderr, "suitegate %s: unexpected argument \"%s\"\n", argv[0], argv[optind]);
    return CLI_USAGE;
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
