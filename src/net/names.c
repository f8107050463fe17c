#include "net/names.h"

#include "base/clock.h"
#include "base/diag.h"
#include "base/file.h"
#include "base/post.h"
#include "base/snapshot.h"

#include <ares.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char hosts_path[] = "/etc/hosts";
static const char settings_name[] = "settings";
static const int64_t look_again_ns = 1000000000;
enum { FILE_LIMIT = 16 << 20 };

/* What they say is read again if one of them has changed. */
static const char *const files[] = {"/etc/resolv.conf", hosts_path, "/etc/nsswitch.conf",
                                    "/etc/host.conf"};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    struct names *names; /* NULL: none yet */
    bool given;
    int64_t look_ns; /* steady: when to look at the files again */
    struct stat seen[COUNT_OF(files)];
} current;

void names_release(struct names *n)
{
    if (!n || __atomic_sub_fetch(&n->users, 1, __ATOMIC_ACQ_REL) > 0) return;
    for (size_t i = 0; i < n->domain_count; i++) free(n->domains[i]);
    free(n->domains);
    free(n->servers);
    free(n->order);
    hosts_free(n->hosts);
    text_fini(&n->hosts_file);
    free(n);
}

static bool add_domain(struct names *n, const char *domain)
{
    char **more = reallocarray(n->domains, n->domain_count + 1, sizeof *more);
    if (!more) return false;
    n->domains = more;
    more[n->domain_count] = text_copy(domain, strlen(domain));
    return more[n->domain_count++] != NULL;
}

/* ---- from the system's files ---- */

static bool list_servers(struct names *n, ares_channel channel)
{
    struct ares_addr_port_node *all = NULL;
    struct text list = {0};
    if (ares_get_servers_ports(channel, &all) != ARES_SUCCESS) return false;
    for (const struct ares_addr_port_node *s = all; s; s = s->next) {
        char text[ADDR_TEXT_SIZE];
        size_t size = s->family == AF_INET6 ? sizeof s->addr.addr6 : sizeof s->addr.addr4;
        struct addr a = addr_from_bytes((const uint8_t *)&s->addr, size,
                                        (uint16_t)(s->udp_port ? s->udp_port : 53));
        addr_format(&a, text);
        text_printf(&list, "%s%s", list.size ? "," : "", text);
    }
    ares_free_data(all);
    if (!list.failed) n->servers = text_copy(text_string(&list), list.size);
    text_fini(&list);
    return n->servers != NULL;
}

static bool ask_library(struct names *n)
{
    ares_channel channel;
    struct ares_options options;
    int set = 0;
    if (ares_init(&channel) != ARES_SUCCESS) return false;
    bool ok = ares_save_options(channel, &options, &set) == ARES_SUCCESS;
    if (ok) {
        n->order = text_copy(options.lookups, strlen(options.lookups));
        n->dots = options.ndots;
        n->rotate = (set & ARES_OPT_ROTATE) != 0;
        ok = n->order && list_servers(n, channel);
        for (int i = 0; ok && i < options.ndomains; i++) ok = add_domain(n, options.domains[i]);
        ares_destroy_options(&options);
    }
    ares_destroy(channel);
    return ok;
}

static struct names *read_files(void)
{
    struct names *n = calloc(1, sizeof *n);
    if (!n) return NULL;
    n->users = 1;
    int fault = file_read_kept(hosts_path, FILE_LIMIT, &n->hosts_file, NULL);
    if (fault) n->hosts_file.size = 0; /* no names */
    if (fault && fault != ENOENT) diag_warning("%s is not used: %s", hosts_path, strerror(fault));
    n->hosts = hosts_read(text_string(&n->hosts_file), n->hosts_file.size);
    if (n->hosts && ask_library(n)) return n;
    names_release(n);
    return NULL;
}

/* Before they are read: what changes meanwhile is read again. */
static bool files_have_changed(void)
{
    bool changed = false;
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        struct stat now;
        if (stat(files[i], &now) < 0) now = (struct stat){0};
        changed |= !file_is_same(&now, &current.seen[i]);
        current.seen[i] = now;
    }
    return changed;
}

static void look(void)
{
    int64_t t = clock_steady_ns();
    if (current.given || (current.names && t < current.look_ns)) return;
    current.look_ns = t + look_again_ns;
    if (!files_have_changed() && current.names) return;
    struct names *now = read_files();
    if (!now) {
        current.seen[0] = (struct stat){.st_size = -1}; /* the next look tries again */
        return;
    }
    names_release(current.names);
    current.names = now;
}

struct names *names_use(void)
{
    pthread_mutex_lock(&lock);
    look();
    struct names *n = current.names;
    if (n) __atomic_add_fetch(&n->users, 1, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&lock);
    return n;
}

/* ---- as a memory file: the settings' fields (base/post.h), and the hosts file ---- */

int names_seal(const struct names *n)
{
    struct text fields = {0};
    char digits[TEXT_DECIMAL_SIZE];
    struct snapshot *s = snapshot_new();
    post_put(&fields, n->order);
    post_put(&fields, n->servers);
    text_decimal((uint64_t)n->dots, digits);
    post_put(&fields, digits);
    post_put(&fields, n->rotate ? "rotate" : "");
    for (size_t i = 0; i < n->domain_count; i++) post_put(&fields, n->domains[i]);
    bool ok =
        s && snapshot_put(s, settings_name, &fields) && snapshot_put(s, hosts_path, &n->hosts_file);
    int fd = ok ? snapshot_seal(s) : -1;
    int fault = s ? errno : ENOMEM;
    snapshot_free(s);
    text_fini(&fields);
    errno = fault;
    return fd;
}

static bool take_fields(struct names *n, const struct text *fields)
{
    size_t at = 0;
    const char *order = post_next(fields, &at), *servers = order ? post_next(fields, &at) : NULL;
    const char *dots = servers ? post_next(fields, &at) : NULL;
    const char *rotate = dots ? post_next(fields, &at) : NULL;
    if (!rotate) return false;
    n->order = text_copy(order, strlen(order));
    n->servers = text_copy(servers, strlen(servers));
    n->dots = (int)strtoul(dots, NULL, 10);
    n->rotate = *rotate != '\0';
    bool ok = n->order && n->servers;
    for (const char *domain; ok && (domain = post_next(fields, &at));) ok = add_domain(n, domain);
    return ok;
}

static struct names *read_sealed(int fd)
{
    struct snapshot *s = snapshot_open(fd);
    struct text fields = {0};
    struct names *n = s ? calloc(1, sizeof *n) : NULL;
    bool ok = n && snapshot_read(s, settings_name, FILE_LIMIT, &fields, NULL) == 0 &&
              snapshot_read(s, hosts_path, FILE_LIMIT, &n->hosts_file, NULL) == 0 &&
              take_fields(n, &fields) &&
              (n->hosts = hosts_read(text_string(&n->hosts_file), n->hosts_file.size)) != NULL;
    snapshot_free(s);
    text_fini(&fields);
    if (!n) return NULL;
    n->users = 1;
    if (ok) return n;
    names_release(n);
    errno = ENOMEM;
    return NULL;
}

bool names_give(int fd)
{
    struct names *given = read_sealed(fd);
    if (!given) return false;
    pthread_mutex_lock(&lock);
    names_release(current.names);
    current.names = given;
    current.given = true;
    pthread_mutex_unlock(&lock);
    return true;
}
