#include "tls/library.h"

#include "base/shortage.h"
#include "pki/wolfcrypt.h"
#include "policy/policy.h"

#include <stdlib.h>
#include <string.h>

void tls_library_suites(struct text *out)
{
    char names[4096] = "";
    if (wolfSSL_get_ciphers(names, (int)sizeof names) == WOLFSSL_SUCCESS) text_add(out, names);
}

static bool listed(const char *names, const char *name)
{
    size_t n = strlen(name);
    for (const char *p = names; (p = strstr(p, name)) != NULL; p += n)
        if ((p == names || p[-1] == ':') && (p[n] == ':' || p[n] == '\0')) return true;
    return false;
}

static bool exactly_the_eight(const char *names)
{
    size_t count = names[0] ? 1 : 0;
    for (const char *p = names; *p; p++) count += *p == ':';
    if (count != SUITE_COUNT) return false;
    for (size_t i = 0; i < SUITE_COUNT; i++)
        if (!listed(names, suites[i].openssl)) return false;
    return true;
}

static void *noted(void *p)
{
    if (!p) shortage_note();
    return p;
}

static void *library_malloc(size_t n)
{
    return noted(malloc(n));
}

static void *library_realloc(void *p, size_t n)
{
    return noted(realloc(p, n));
}

bool tls_library_init(struct text *errors)
{
    struct text names = {0};
    if (wolfSSL_SetAllocators(library_malloc, free, library_realloc) != 0 ||
        wolfSSL_Init() != WOLFSSL_SUCCESS) {
        text_add(errors, "the TLS library cannot start\n");
        return false;
    }
    tls_library_suites(&names);
    bool ok = exactly_the_eight(text_string(&names));
    if (!ok)
        text_printf(errors, "the TLS library's suites are not exactly the policy's eight: %s\n",
                    text_string(&names));
    text_fini(&names);
    return ok;
}

void tls_library_fini(void)
{
    wolfSSL_Cleanup();
}

const char *tls_library_version(void)
{
    return wolfSSL_lib_version();
}
