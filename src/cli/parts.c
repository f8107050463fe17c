/* The processes that suitegate itself starts: one writes the audit log, one serves. */
#include "audit/clerk.h"
#include "base/confine.h"
#include "base/spawn.h"
#include "cli/cli.h"
#include "serve/proxy.h"

#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* name: of the process, else it has that of a link. */
static int run_part(int argc, const char *name, bool (*run)(int post))
{
    struct stat st;
    prctl(PR_SET_NAME, name);
    close_range(SPAWN_POST + 1, ~0u, 0); /* what whoever started suitegate left open */
    confine_process();
    if (argc == 1 && fstat(SPAWN_POST, &st) == 0 && S_ISSOCK(st.st_mode))
        return run(SPAWN_POST) ? CLI_DONE : CLI_CANNOT;
    fprintf(stderr, "%s is a part of suitegate run, which starts it\n", name);
    return CLI_USAGE;
}

int cli_clerk(int argc, char **argv)
{
    (void)argv;
    return run_part(argc, "suitegate-clerk", clerk_run);
}

int cli_proxy(int argc, char **argv)
{
    (void)argv;
    return run_part(argc, "suitegate-proxy", proxy_run);
}
