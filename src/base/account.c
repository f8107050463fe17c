#include "base/account.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static const int kept[] = {CAP_NET_BIND_SERVICE, CAP_SETUID, CAP_SETGID, CAP_KILL};

/* ---- capabilities: the C library has no calls for them ---- */

struct capabilities {
    struct __user_cap_data_struct words[_LINUX_CAPABILITY_U32S_3];
};

static bool get(struct capabilities *c)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    return syscall(SYS_capget, &header, c->words) == 0;
}

static bool set(const struct capabilities *c)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    return syscall(SYS_capset, &header, c->words) == 0;
}

static uint32_t bit(int capability)
{
    return UINT32_C(1) << capability % 32; /* all of these are in the first word */
}

void account_keep_to_itself(void)
{
    struct capabilities c;
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    if (!get(&c)) return;
    for (size_t i = 0; i < COUNT_OF(c.words); i++) c.words[i].inheritable = 0;
    (void)!set(&c);
}

bool account_may_change(void)
{
    struct capabilities c;
    const uint32_t all = bit(CAP_SETUID) | bit(CAP_SETGID) | bit(CAP_KILL);
    return get(&c) && (c.words[0].effective & all) == all;
}

void account_give_up(void)
{
    struct capabilities c, now = {0};
    if (!get(&c)) return;
    now.words[0].permitted = now.words[0].effective = c.words[0].permitted & bit(CAP_IPC_LOCK);
    (void)!set(&now);
}

static bool keep_only(bool others)
{
    struct capabilities c, now = {0};
    if (!get(&c)) return false;
    for (size_t i = 0; i < (others ? COUNT_OF(kept) : 1); i++)
        now.words[0].permitted |= c.words[0].permitted & bit(kept[i]);
    now.words[0].effective = now.words[0].permitted;
    return set(&now);
}

void account_pass_on(void)
{
    struct capabilities c;
    if (geteuid() == 0 || !get(&c)) return; /* root has all anyway */
    c.words[0].inheritable = c.words[0].permitted;
    if (!set(&c)) return;
    for (size_t i = 0; i < COUNT_OF(kept); i++)
        if (c.words[0].permitted & bit(kept[i]))
            prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, kept[i], 0, 0);
}

/* ---- users ---- */

bool account_find(const char *name, struct account *out, struct text *errors)
{
    char room[16384];
    struct passwd entry, *found = NULL;
    int fault = getpwnam_r(name, &entry, room, sizeof room, &found);
    if (!found) {
        text_printf(errors, "user %s: %s\n", name, fault ? strerror(fault) : "there is none");
        return false;
    }
    int count = ACCOUNT_GROUPS;
    out->user = entry.pw_uid;
    out->group = entry.pw_gid;
    if (getgrouplist(name, entry.pw_gid, out->groups, &count) < 0) {
        text_printf(errors, "user %s is in more than %d groups\n", name, ACCOUNT_GROUPS);
        return false;
    }
    out->count = (size_t)count;
    return true;
}

bool account_is_current(const struct account *a)
{
    return a->user == geteuid() && a->user == getuid();
}

bool account_become(const struct account *a, bool others)
{
    if (setgroups(a->count, a->groups) < 0 || setresgid(a->group, a->group, a->group) < 0 ||
        prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0 || setresuid(a->user, a->user, a->user) < 0 ||
        prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) < 0)
        return false;
    /* Another user means: dumpable as fs.suid_dumpable says. */
    return keep_only(others) && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0;
}

bool account_become_only(const struct account *a)
{
    /* Not the C library's calls: in a new process they would wait for threads that it has not. */
    return syscall(SYS_setgroups, a->count, a->groups) == 0 &&
           syscall(SYS_setresgid, a->group, a->group, a->group) == 0 &&
           syscall(SYS_setresuid, a->user, a->user, a->user) == 0 &&
           prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0;
}
