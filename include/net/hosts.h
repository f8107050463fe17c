/* A hosts file (hosts(5)): an address and its names on each line. Immutable once it is read. */
#ifndef NET_HOSTS_H
#define NET_HOSTS_H

#include "base/addr.h"

#include <stddef.h>

struct hosts;

/* Lines that are not understood are skipped. NULL when out of memory. */
WARN_UNUSED struct hosts *hosts_read(const char *text, size_t n);
void hosts_free(struct hosts *h);
/* The addresses of this name, in the file's order, in any case of letters: how many of them are in
 * out. */
size_t hosts_find(const struct hosts *h, const char *name, uint16_t port, struct addr *out,
                  size_t room);

#endif
