#include "base/spawn.h"

#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

pid_t spawn_part(const char *part, int post)
{
    char name[] = "suitegate", *argument = text_copy(part, strlen(part));
    char *const argv[] = {name, argument, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    pid_t pid = -1;
    sigemptyset(&none);
    sigfillset(&all);
    if (!argument) return -1;
    int fault = posix_spawn_file_actions_init(&actions);
    if (!fault) fault = posix_spawnattr_init(&attributes);
    if (!fault) fault = posix_spawn_file_actions_adddup2(&actions, post, SPAWN_POST);
    if (!fault) fault = posix_spawnattr_setsigmask(&attributes, &none);
    if (!fault) fault = posix_spawnattr_setsigdefault(&attributes, &all);
    if (!fault)
        fault =
            posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    if (!fault) fault = posix_spawn(&pid, "/proc/self/exe", &actions, &attributes, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    free(argument);
    errno = fault;
    return fault ? -1 : pid;
}
