/* suitegate ca install, suitegate ca uninstall: the trust stores of this machine. */
#include "base/file.h"
#include "cli/cli.h"
#include "runtime/ca_files.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char install_help[] =
    "Usage: suitegate ca install [-c FILE]\n\n"
    "Lets this machine's programs trust the configured CA: puts it into the system's store\n"
    "(update-ca-certificates), the trust store of the JVM (JAVA_HOME, else the java on PATH), and\n"
    "the NSS databases of this user (Chromium, Firefox). What is not there is passed over; what\n"
    "has it already stays as it is. The first two usually need root.\n\n"
    "  -c, --config FILE   configuration (default: " SUITEGATE_CONFIG ")\n"
    "  -h, --help          this text\n\n"
    "Exit status: 0 all stores that are there have it, 2 some do not, 64 wrong usage.\n";

static const char uninstall_help[] =
    "Usage: suitegate ca uninstall [-c FILE]\n\n"
    "Takes the configured CA out of the stores into which `suitegate ca install` puts it.\n\n"
    "  -c, --config FILE   configuration (default: " SUITEGATE_CONFIG ")\n"
    "  -h, --help          this text\n\n"
    "Exit status: 0 no store has it any more, 2 some still do, 64 wrong usage.\n";

/* The CA that is installed. */
struct installed {
    char file[PATH_MAX];           /* with this certificate alone */
    char alias[16 + CA_NAME_SIZE]; /* its name in stores: another CA has another one */
    const struct text *pem;
};

enum outcome { STORE_ABSENT, STORE_DONE, STORE_HAS_IT, STORE_FAILED };

/* ---- running tools ---- */

/* Its exit status, or -1 if it cannot be run. Silent: what it prints goes nowhere. */
static int run(const char *const *argv)
{
    posix_spawn_file_actions_t actions;
    pid_t child;
    int status = -1;
    if (posix_spawn_file_actions_init(&actions) != 0) return -1;
    for (int fd = 0; fd <= 2; fd++)
        if (posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", O_RDWR, 0) != 0) return -1;
    int fault = posix_spawnp(&child, argv[0], &actions, NULL, (char *const *)argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (fault) return -1;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR) return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static bool tool_works(const char *const *argv)
{
    return run(argv) == 0;
}

static void report(enum outcome outcome, bool install, const char *store, const char *why)
{
    switch (outcome) {
    case STORE_ABSENT:
        printf("%s: not here%s%s\n", store, why[0] ? ", " : "", why);
        break;
    case STORE_DONE:
        printf("%s: %s\n", store, install ? "installed" : "removed");
        break;
    case STORE_HAS_IT:
        printf("%s: %s\n", store, install ? "has it already" : "does not have it");
        break;
    case STORE_FAILED:
        fprintf(stderr, "suitegate: %s: %s\n", store, why);
        break;
    }
}

/* ---- the system's store ---- */

#define SYSTEM_FOLDER "/usr/local/share/ca-certificates"

static bool has_content(const char *path, const struct text *wanted)
{
    struct text is = {0};
    bool same = file_read(path, 1 << 20, &is, NULL) == 0 && is.size == wanted->size &&
                memcmp(text_string(&is), text_string(wanted), is.size) == 0;
    text_fini(&is);
    return same;
}

static enum outcome change_system(const struct installed *ca, bool install, char why[256])
{
    /* Only with this option it takes out what is gone. */
    const char *const update[] = {"update-ca-certificates", install ? NULL : "--fresh", NULL};
    char path[PATH_MAX];
    snprintf(path, sizeof path, SYSTEM_FOLDER "/%s.crt", ca->alias);
    if (access(SYSTEM_FOLDER, F_OK) < 0) return STORE_ABSENT;
    if (install ? has_content(path, ca->pem) : access(path, F_OK) < 0) return STORE_HAS_IT;
    int fault = install ? file_replace(path, 0644, ca->pem) : unlink(path) < 0 ? errno : 0;
    if (fault) {
        snprintf(why, 256, "%.160s: %s", path, strerror(fault));
        return STORE_FAILED;
    }
    if (tool_works(update)) return STORE_DONE;
    snprintf(why, 256, "update-ca-certificates failed: is the package ca-certificates there?");
    /* As it was, so that the next try does not take it for done. */
    if (install ? unlink(path) < 0 : file_replace(path, 0644, ca->pem) != 0)
        snprintf(why + strlen(why), 256 - strlen(why), " %.120s was changed", path);
    return STORE_FAILED;
}

/* ---- the JVM's ---- */

/* The cacerts of JAVA_HOME, or of the java on PATH, which links to it. */
static bool find_cacerts(char keytool[PATH_MAX], char store[PATH_MAX])
{
    char home[PATH_MAX] = "";
    const char *given = getenv("JAVA_HOME"), *path = getenv("PATH");
    if (given && *given) {
        snprintf(home, sizeof home, "%s", given);
    } else if (path) {
        char *all = text_copy(path, strlen(path)), *rest = all, java[PATH_MAX];
        for (char *one; !home[0] && rest && (one = strsep(&rest, ":"));) {
            snprintf(java, sizeof java, "%s/java", one);
            char *real = access(java, X_OK) == 0 ? realpath(java, NULL) : NULL;
            char *bin = real ? strstr(real, "/bin/java") : NULL;
            if (bin) snprintf(home, sizeof home, "%.*s", (int)(bin - real), real);
            free(real);
        }
        free(all);
    }
    static const char *const places[] = {"lib/security/cacerts", "jre/lib/security/cacerts"};
    for (size_t i = 0; home[0] && i < COUNT_OF(places); i++)
        if (snprintf(store, PATH_MAX, "%s/%s", home, places[i]) < PATH_MAX &&
            snprintf(keytool, PATH_MAX, "%s/bin/keytool", home) < PATH_MAX &&
            access(store, F_OK) == 0)
            return true;
    return false;
}

/* Debian copies the system's CAs into its own store, with a name like the second one. */
static bool java_tool(const char *keytool, const char *store, const char *what, const char *alias)
{
    const char *const argv[] = {
        keytool, what, "-keystore", store, "-storepass", "changeit", alias ? "-alias" : NULL,
        alias,   NULL};
    return tool_works(argv);
}

static bool add_to_java(const char *keytool, const char *store, const struct installed *ca)
{
    const char *const argv[] = {keytool,    "-importcert", "-noprompt", "-file",
                                ca->file,   "-keystore",   store,       "-storepass",
                                "changeit", "-alias",      ca->alias,   NULL};
    return tool_works(argv);
}

static enum outcome change_java(const struct installed *ca, bool install, char why[256])
{
    char keytool[PATH_MAX], store[PATH_MAX], debian[64];
    const char *const aliases[] = {ca->alias, debian};
    bool found = false, ok = true;
    snprintf(debian, sizeof debian, "debian:%s.pem", ca->alias);
    if (!find_cacerts(keytool, store)) return STORE_ABSENT;
    if (!java_tool(keytool, store, "-list", NULL)) {
        snprintf(why, 256, "keytool cannot open %.160s with its first password", store);
        return STORE_FAILED;
    }
    for (size_t i = 0; i < COUNT_OF(aliases); i++) {
        if (!java_tool(keytool, store, "-list", aliases[i])) continue;
        found = true;
        if (!install) ok = java_tool(keytool, store, "-delete", aliases[i]) && ok;
    }
    if (found == install) return STORE_HAS_IT;
    if (install ? add_to_java(keytool, store, ca) : ok) return STORE_DONE;
    snprintf(why, 256, "keytool cannot change %.200s", store);
    return STORE_FAILED;
}

/* ---- NSS ---- */

static enum outcome change_database(const struct installed *ca, bool install, const char *folder,
                                    char why[256])
{
    char database[PATH_MAX + 8];
    snprintf(database, sizeof database, "sql:%s", folder);
    const char *const list[] = {"certutil", "-L", "-d", database, "-n", ca->alias, NULL};
    const char *const add[] = {"certutil", "-A",      "-d", database, "-t", "C,,",
                               "-n",       ca->alias, "-i", ca->file, NULL};
    const char *const remove[] = {"certutil", "-D", "-d", database, "-n", ca->alias, NULL};
    const char *const open[] = {"certutil", "-L", "-d", database, NULL};
    int opened = run(open);
    if (opened != 0) {
        snprintf(why, 256,
                 opened < 0 ? "certutil is not here: install libnss3-tools"
                            : "certutil cannot open it");
        return STORE_FAILED;
    }
    if (tool_works(list) == install) return STORE_HAS_IT;
    if (tool_works(install ? add : remove)) return STORE_DONE;
    snprintf(why, 256, "certutil cannot change it");
    return STORE_FAILED;
}

/* Each database of this user. False: one could not be changed. */
static bool change_databases(const struct installed *ca, bool install)
{
    static const char *const patterns[] = {
        ".pki/nssdb/cert9.db", ".mozilla/firefox/*/cert9.db",
        "snap/firefox/common/.mozilla/firefox/*/cert9.db",
        ".var/app/org.mozilla.firefox/.mozilla/firefox/*/cert9.db"};
    const char *home = getenv("HOME");
    bool ok = true, any = false;
    for (size_t i = 0; home && i < COUNT_OF(patterns); i++) {
        char pattern[PATH_MAX];
        glob_t found = {0};
        snprintf(pattern, sizeof pattern, "%s/%s", home, patterns[i]);
        if (glob(pattern, 0, NULL, &found) != 0) continue;
        for (size_t k = 0; k < found.gl_pathc; k++) {
            char why[256] = "", *folder = found.gl_pathv[k];
            *strrchr(folder, '/') = '\0';
            enum outcome outcome = change_database(ca, install, folder, why);
            report(outcome, install, folder, why);
            ok = ok && outcome != STORE_FAILED;
            any = true;
        }
        globfree(&found);
    }
    if (!any) report(STORE_ABSENT, install, "NSS databases", "for this user");
    return ok;
}

/* ---- the commands ---- */

static bool change_all(const struct installed *ca, bool install)
{
    static const struct {
        const char *name;
        enum outcome (*change)(const struct installed *ca, bool install, char why[256]);
    } stores[] = {{"the system's store", change_system}, {"the JVM's store", change_java}};
    bool ok = true;
    for (size_t i = 0; i < COUNT_OF(stores); i++) {
        char why[256] = "";
        enum outcome outcome = stores[i].change(ca, install, why);
        report(outcome, install, stores[i].name, why);
        ok = ok && outcome != STORE_FAILED;
    }
    return change_databases(ca, install) && ok;
}

struct choice {
    struct installed *ca;
    struct text *pem;
};

/* The root, since some clients trust no other; the first one where the file has no root. */
static bool choose(void *arg, struct span der)
{
    struct choice *choice = arg;
    struct cert c;
    char name[CA_NAME_SIZE] = "";
    if (!cert_parse(der, &c)) return false;
    if (choice->pem->size > 0 && !span_equal(c.subject, c.issuer)) return true;
    text_fini(choice->pem);
    if (!pem_add_certificate(der, choice->pem)) return false;
    ca_short_name(&c, name);
    snprintf(choice->ca->alias, sizeof choice->ca->alias, "suitegate-%s", name);
    return true;
}

/* Tools read it from a file of its own: the configured one may have more certificates. */
static bool write_certificate(struct installed *ca, const struct text *pem)
{
    snprintf(ca->file, sizeof ca->file, "/tmp/suitegate-ca-XXXXXX");
    int fd = mkstemp(ca->file);
    bool ok = fd >= 0 && write(fd, text_string(pem), pem->size) == (ssize_t)pem->size;
    if (fd >= 0 && close(fd) < 0) ok = false;
    return ok;
}

static int change(int argc, char **argv, bool install)
{
    const struct cli_syntax syntax = {CLI_WITH(CONFIG), CLI_NO_OPERANDS,
                                      install ? install_help : uninstall_help};
    struct cli_options options;
    struct text file = {0}, pem = {0};
    struct installed ca = {.pem = &pem};
    int status = cli_parse(argc, argv, &syntax, &options);
    if (status >= 0) return status;
    struct config *config = cli_config_load(&options);
    if (!config) return CLI_CANNOT;
    struct choice choice = {&ca, &pem};
    const char *path = config->ca.certificate;
    int fault = file_read(path, 1 << 20, &file, NULL);
    bool ok = !fault && pem_each(text_string(&file), file.size, PEM_CERTIFICATE, choose, &choice) &&
              pem.size > 0;
    if (!ok)
        fprintf(stderr, "suitegate: %s: %s\n", path,
                fault ? strerror(fault) : "holds no certificate that can be read");
    if (ok && !write_certificate(&ca, &pem)) {
        perror("suitegate: /tmp");
        ok = false;
    }
    ok = ok && change_all(&ca, install);
    if (ca.file[0]) unlink(ca.file);
    text_fini(&file);
    text_fini(&pem);
    config_free(config);
    return ok ? CLI_DONE : CLI_CANNOT;
}

int cli_ca_install(int argc, char **argv)
{
    return change(argc, argv, true);
}

int cli_ca_uninstall(int argc, char **argv)
{
    return change(argc, argv, false);
}
