#include "base/spawn.h"

#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int program = -1;
static char program_path[4096];

void spawn_remember(void)
{
    if (program >= 0) return;
    ssize_t n = readlink("/proc/self/exe", program_path, sizeof program_path - 1);
    program_path[n > 0 ? n : 0] = '\0';
    int fd = open(program_path, O_PATH | O_CLOEXEC);
    if (fd < 0) return;
    program = fcntl(fd, F_DUPFD_CLOEXEC, SPAWN_POST + 1); /* none that the new process gets */
    close(fd);
}

/* The file may have been replaced since. */
static void choose_path(char *out, size_t size)
{
    struct stat remembered, there;
    bool known = program >= 0 && fstat(program, &remembered) == 0;
    if (known && stat(program_path, &there) == 0 && there.st_dev == remembered.st_dev &&
        there.st_ino == remembered.st_ino)
        snprintf(out, size, "%s", program_path);
    else if (known)
        snprintf(out, size, "/proc/self/fd/%d", program);
    else
        snprintf(out, size, "/proc/self/exe");
}

pid_t spawn_part(const char *part, int post)
{
    char name[] = "suitegate", *argument = text_copy(part, strlen(part));
    char *const argv[] = {name, argument, NULL};
    char path[sizeof program_path];
    choose_path(path, sizeof path);
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
    if (!fault) fault = posix_spawn(&pid, path, &actions, &attributes, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    free(argument);
    errno = fault;
    return fault ? -1 : pid;
}
