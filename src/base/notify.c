#include "base/notify.h"

#include "base/errand.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Its socket is one of another process. */
static void send_to_manager(void *arg)
{
    const char *message = arg;
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    const char *name = getenv("NOTIFY_SOCKET");
    size_t n = name ? strlen(name) : 0;
    if (n < 2 || n >= sizeof to.sun_path || (name[0] != '/' && name[0] != '@')) return;
    memcpy(to.sun_path, name, n);
    if (name[0] == '@') to.sun_path[0] = '\0';
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return;
    (void)sendto(fd, message, strlen(message), MSG_DONTWAIT | MSG_NOSIGNAL,
                 (const struct sockaddr *)&to, size);
    close(fd);
}

void notify_manager(const char *format, ...)
{
    char message[512];
    va_list values;
    va_start(values, format);
    vsnprintf(message, sizeof message, format, values);
    va_end(values);
    errand_run(send_to_manager, message);
}

double notify_watchdog_seconds(void)
{
    const char *interval = getenv("WATCHDOG_USEC"), *process = getenv("WATCHDOG_PID");
    if (!interval || (process && strtol(process, NULL, 10) != (long)getpid())) return 0;
    long long us = strtoll(interval, NULL, 10);
    return us > 0 ? (double)us / 1e6 : 0;
}
