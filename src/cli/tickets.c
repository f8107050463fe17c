/* suitegate tickets rotate. */
#include "base/clock.h"
#include "base/file.h"
#include "cli/cli.h"
#include "config/config.h"
#include "runtime/ticket_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static const char help[] = "Usage: suitegate tickets rotate [-c FILE]\n\n"
                           "rotate adds a key for session tickets that several instances share.\n"
                           "Try: suitegate tickets rotate --help\n";

static const char rotate_help[] =
    "Usage: suitegate tickets rotate [-c FILE]\n\n"
    "Adds a key to the file of [tickets] key_file, or makes that file. The key seals session\n"
    "tickets from ten minutes later on: until then give the file to every instance. A running\n"
    "proxy notices it by itself. Keys by which no ticket is good any more are taken out.\n\n"
    "Do so every day, on one machine. Whoever has a key can read the sessions that it sealed: one\n"
    "that nobody replaces for a week seals no more, and each instance then uses its own. If keys\n"
    "were stolen, delete the file first: then all are new.\n\n"
    "  -c, --config FILE   configuration (default: " SUITEGATE_CONFIG ")\n"
    "  -h, --help          this text\n\n"
    "Exit status: 0 added, or the last one has not begun yet; 2 could not, 64 wrong usage.\n";

static int complain(const char *path, int fault)
{
    fprintf(stderr, "suitegate: %s: %s\n", path, strerror(fault));
    return CLI_CANNOT;
}

/* The folder of a path, opened and locked: one writer at a time. -1: errno. */
static int lock_folder(const char *path)
{
    char folder[PATH_MAX];
    if (!file_folder(path, folder)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || flock(fd, LOCK_EX) == 0) return fd;
    int fault = errno;
    close(fd);
    errno = fault;
    return -1;
}

/* The keys of the file, or none if there is no file. */
static bool read_keys(const char *path, struct ticket_keys *out)
{
    struct text content = {0}, errors = {0};
    struct stat st;
    int fault = file_read_kept(path, TICKET_FILE_LIMIT, &content, &st);
    bool ok = fault == ENOENT;
    *out = (struct ticket_keys){.n = 0};
    if (fault && !ok) file_explain(path, fault, &errors);
    if (!fault)
        ok = file_is_private(path, &st, MODE_ALL_BUT_OWNER, true, &errors) &&
             ticket_file_read(&content, path, out, &errors);
    text_wipe(&content);
    if (!ok) cli_print_errors(&errors);
    text_fini(&errors);
    return ok;
}

static int write_keys(const char *path, const struct ticket_keys *keys)
{
    struct text content = {0};
    ticket_file_print(keys, &content);
    int fault = content.failed ? ENOMEM : file_replace(path, 0600, &content);
    text_wipe(&content);
    return fault;
}

static int rotate_file(const char *path, struct ticket_keys *keys)
{
    char when[CLOCK_TEXT_SIZE];
    time_t now = time(NULL);
    if (!read_keys(path, keys)) return CLI_CANNOT;
    enum ticket_rotation done = ticket_file_rotate(keys, now);
    const struct ticket_key *newest = keys->n > 0 ? &keys->items[keys->n - 1] : NULL;
    if (done == TICKETS_FAILED || !newest) return complain(path, EIO);
    clock_format_seconds(newest->from, when);
    if (done == TICKETS_WAIT && newest->from > now + TICKET_KEY_AHEAD_S) {
        fprintf(stderr,
                "suitegate: the newest key in %s only seals from %s on: is this machine's clock "
                "right? To begin anew, delete the file\n",
                path, when);
        return CLI_CANNOT;
    }
    int fault = done == TICKETS_ROTATED ? write_keys(path, keys) : 0;
    if (fault) return complain(path, fault);
    if (done == TICKETS_WAIT)
        printf("Nothing to do: the newest key in %s has yet to begin, at %s.\n", path, when);
    else if (keys->n == 1)
        printf("Made %s: give it to every instance.\n", path);
    else
        printf("Added a key to %s, which seals from %s on: give the file to every instance until "
               "then.\n",
               path, when);
    return CLI_DONE;
}

static int rotate(int argc, char **argv)
{
    static const struct cli_syntax syntax = {CLI_WITH(CONFIG), CLI_NO_OPERANDS, rotate_help};
    struct cli_options options;
    struct ticket_keys keys;
    int status = cli_parse(argc, argv, &syntax, &options);
    if (status >= 0) return status;
    struct config *config = cli_config_load(&options);
    if (!config) return CLI_CANNOT;
    /* Of a link, the file that it leads to: others may lead there, too. */
    const char *path = config->ticket_key_file;
    char *target = path ? realpath(path, NULL) : NULL;
    if (target) path = target;
    int folder = path ? lock_folder(path) : -1;
    if (!path) {
        fprintf(stderr, "suitegate: the configuration has no [tickets] key_file\n");
        status = CLI_CANNOT;
    } else if (folder < 0) {
        status = complain(path, errno);
    } else {
        status = rotate_file(path, &keys);
        explicit_bzero(&keys, sizeof keys);
        close(folder);
    }
    free(target);
    config_free(config);
    return status;
}

int cli_tickets(int argc, char **argv)
{
    static const struct cli_command commands[] = {{"rotate", rotate}};
    return cli_dispatch(commands, COUNT_OF(commands), help, argc, argv);
}
