#include "base/confine_files.h"

#include "base/confine.h"
#include "base/diag.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Debian 12's headers know Landlock's first versions, and its C library no calls. */
struct ruleset {
    uint64_t files, net, scope;
};
enum {
    ALL_OF_FIRST = (1 << 13) - 1, /* LANDLOCK_ACCESS_FS_*; later versions add one each */
    REFER = 1 << 13,
    TRUNCATE = 1 << 14,
    IOCTL_DEVICE = 1 << 15,
    ABSTRACT_SOCKETS = 1 << 0,
    SIGNALS = 1 << 1
};

static int kernel_version(void)
{
    return (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
}

static struct ruleset everything(int version)
{
    struct ruleset r = {.files = ALL_OF_FIRST};
    if (version >= 2) r.files |= REFER;
    if (version >= 3) r.files |= TRUNCATE;
    if (version >= 5) r.files |= IOCTL_DEVICE;
    if (version >= 6) r.scope = ABSTRACT_SOCKETS | SIGNALS;
    return r;
}

static uint64_t allowed(const struct confine_place *place, int version)
{
    if (place->reach == CONFINE_FILE) return LANDLOCK_ACCESS_FS_READ_FILE;
    if (place->reach == CONFINE_WRITE)
        return LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE;
    if (place->reach == CONFINE_READ)
        return LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
    return LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR |
           LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG |
           LANDLOCK_ACCESS_FS_REMOVE_FILE | (version >= 3 ? TRUNCATE : 0);
}

static bool allow(int rules, const struct confine_place *place, int version)
{
    int fd = open(place->path, O_PATH | O_CLOEXEC);
    if (fd < 0) return true; /* it is not within reach anyway */
    const struct landlock_path_beneath_attr rule = {.allowed_access = allowed(place, version),
                                                    .parent_fd = fd};
    long fault = syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
    int why = errno;
    close(fd);
    errno = why;
    return fault == 0 || why == EBADFD; /* a pipe or socket is no file that it limits */
}

enum confine_answer confine_files(const struct confine_place *places, size_t n)
{
    if (!confine_is_possible()) return CONFINE_OFF;
    int version = kernel_version();
    if (version < 1) return CONFINE_UNKNOWN;
    const struct ruleset all = everything(version);
    size_t size = version < 4 ? sizeof all.files : version < 6 ? 2 * sizeof all.files : sizeof all;
    int rules = (int)syscall(SYS_landlock_create_ruleset, &all, size, 0);
    bool ok = rules >= 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
    for (size_t i = 0; ok && i < n; i++) ok = allow(rules, &places[i], version);
    ok = ok && syscall(SYS_landlock_restrict_self, rules, 0) == 0;
    int why = errno;
    if (rules >= 0) close(rules);
    errno = why;
    return ok ? CONFINE_DONE : CONFINE_FAILED;
}

void confine_files_warn(const char *who, enum confine_answer answer)
{
    if (answer == CONFINE_UNKNOWN)
        diag_warning("the kernel does not limit what files %s may open (Landlock): only its user's "
                     "rights do",
                     who);
    else if (answer == CONFINE_FAILED)
        diag_warning("the kernel does not limit what files %s may open (Landlock): %s", who,
                     strerror(errno));
}
