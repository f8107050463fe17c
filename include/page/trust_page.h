/* The publish listener's page: how each platform comes to trust the local CA and to use the proxy.
 * Pure: facts in, HTML out. */
#ifndef PAGE_TRUST_PAGE_H
#define PAGE_TRUST_PAGE_H

#include "base/text.h"

#include <stddef.h>

struct trust_page {
    const char *subject, *fingerprint, *expires; /* of the CA to trust; fingerprint with colons */
    const char *site;                            /* this listener, as http://HOST:PORT */
    const char *const *proxies;                  /* host:port of each forward listener */
    size_t proxy_count;
};

void trust_page_render(const struct trust_page *page, struct text *out);

#endif
