/* A proxy auto-config file: a JavaScript function that tells a browser which proxy to use for a
 * URL. Pure: facts in, text out. */
#ifndef PAGE_PAC_H
#define PAGE_PAC_H

#include "base/text.h"
#include "policy/target.h"

/* proxies: each "host:port", in the order in which they are tried; without one all is direct. only:
 * destinations for which they are; n = 0: all. They are for https URLs: the proxy takes nothing
 * else. There is no way around it. */
void pac_render(const char *const *proxies, size_t proxy_count, const struct pattern *only,
                size_t n, struct text *out);

enum { PAC_PROXIES = 8 };

#endif
