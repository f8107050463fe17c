/* The process that writes the audit log: suitegate itself starts it. */
#include "audit/clerk.h"

#include "base/confine.h"
#include "base/spawn.h"
#include "cli/cli.h"

#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

int cli_clerk(int argc, char **argv)
{
    struct stat st;
    (void)argv;
    prctl(PR_SET_NAME, "suitegate-clerk"); /* else it has the name of a link */
    close_range(SPAWN_POST + 1, ~0u, 0);   /* what whoever started suitegate left open */
    confine_process();
    if (argc == 1 && fstat(SPAWN_POST, &st) == 0 && S_ISSOCK(st.st_mode))
        return clerk_run(SPAWN_POST) ? CLI_DONE : CLI_CANNOT;
    fputs("suitegate: clerk is a part of suitegate run, which starts it\n", stderr);
    return CLI_USAGE;
}
