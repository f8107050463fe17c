#include "cli/exec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GIT_ENTRIES_LIMIT = 10000 };

enum value { PROXY, BUNDLE, WORD };

static const struct {
    const char *name;
    enum value value;
    const char *word;
} set[] = {
#define SET(name, value, word) {name, value, word},
#define UNSET(name)
#include "cli/exec_env.def"
#undef SET
#undef UNSET
};

static const char *const unset[] = {
#define SET(name, value, word)
#define UNSET(name) name,
#include "cli/exec_env.def"
#undef SET
#undef UNSET
};

/* Appends to the caller's value: the last of two settings counts. */
static bool append_words(const char *name, const char *words, bool always)
{
    const char *before = getenv(name);
    struct text value = {0};
    if (!before && !always) return true;
    text_printf(&value, "%s%s%s", before ? before : "", before && *before ? " " : "", words);
    bool ok = !value.failed && setenv(name, text_string(&value), 1) == 0;
    text_fini(&value);
    return ok;
}

/* Java splits options at blanks outside quotes. */
static bool set_java(const struct exec_proxy *p)
{
    char store[EXEC_PATH];
    struct text words = {0};
    exec_proxy_path(p, "trust.p12", store);
    text_printf(&words,
                "-Dhttp.proxyHost=127.0.0.1 -Dhttp.proxyPort=%u -Dhttps.proxyHost=127.0.0.1 "
                "-Dhttps.proxyPort=%u -Dhttp.nonProxyHosts= -Djavax.net.ssl.trustStoreType=PKCS12 "
                "'-Djavax.net.ssl.trustStore=%s'",
                p->port, p->port, store);
    /* The last two have precedence if the caller sets them. */
    bool ok = append_words("JAVA_TOOL_OPTIONS", text_string(&words), true) &&
              append_words("JDK_JAVA_OPTIONS", text_string(&words), false) &&
              append_words("_JAVA_OPTIONS", text_string(&words), false);
    text_fini(&words);
    return ok;
}

/* Overrides http.proxy of the user's own configuration. */
static bool set_git(const char *proxy)
{
    const char *before = getenv("GIT_CONFIG_COUNT");
    unsigned long count = before ? strtoul(before, NULL, 10) : 0;
    char name[64], value[16];
    if (count > GIT_ENTRIES_LIMIT) return true; /* git refuses them too */
    snprintf(name, sizeof name, "GIT_CONFIG_KEY_%lu", count);
    if (setenv(name, "http.proxy", 1) != 0) return false;
    snprintf(name, sizeof name, "GIT_CONFIG_VALUE_%lu", count);
    if (setenv(name, proxy, 1) != 0) return false;
    snprintf(value, sizeof value, "%lu", count + 1);
    return setenv("GIT_CONFIG_COUNT", value, 1) == 0;
}

static bool set_wget(const struct exec_proxy *p)
{
    char path[EXEC_PATH];
    exec_proxy_path(p, "wgetrc", path);
    return setenv("SYSTEM_WGETRC", path, 1) == 0;
}

/* An empty part of the list means PHP's own directory. */
static bool set_php(const struct exec_proxy *p)
{
    char folder[EXEC_PATH];
    struct text list = {0};
    const char *before = getenv("PHP_INI_SCAN_DIR");
    exec_proxy_path(p, "php", folder);
    text_printf(&list, "%s:%s", before ? before : "", folder);
    bool ok = !list.failed && setenv("PHP_INI_SCAN_DIR", text_string(&list), 1) == 0;
    text_fini(&list);
    return ok;
}

bool exec_environment(const struct exec_proxy *p)
{
    char proxy[64], bundle[EXEC_PATH];
    bool ok = true;
    snprintf(proxy, sizeof proxy, "http://127.0.0.1:%u", p->port);
    exec_proxy_path(p, "bundle.pem", bundle);
    for (size_t i = 0; i < COUNT_OF(unset); i++) ok = unsetenv(unset[i]) == 0 && ok;
    for (size_t i = 0; i < COUNT_OF(set); i++) {
        const char *value = set[i].value == PROXY    ? proxy
                            : set[i].value == BUNDLE ? bundle
                                                     : set[i].word;
        ok = setenv(set[i].name, value, 1) == 0 && ok;
    }
    return set_java(p) && set_git(proxy) && set_wget(p) && set_php(p) && ok;
}
