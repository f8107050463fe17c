/* User names and passwords, from a file with user:password on each line. Empty lines and those that
 * begin with # are skipped. The owner wipes them with credentials_fini(). */
#ifndef RUNTIME_CREDENTIALS_H
#define RUNTIME_CREDENTIALS_H

#include "base/attr.h"
#include "base/reader.h"
#include "base/text.h"

#include <stdbool.h>
#include <stddef.h>

struct login {
    char user[256], password[256]; /* 1 to 255 bytes each (RFC 1929 section 2) */
};

enum { CREDENTIALS_LIMIT = 1000 };

struct credentials {
    struct login *items;
    size_t n;
};

/* file: for messages. False with a line in errors; out is then empty. */
WARN_UNUSED bool credentials_read(const struct text *content, const char *file,
                                  struct credentials *out, struct text *errors);
void credentials_fini(struct credentials *c);
/* Is this one of them? Takes the same time for all wrong ones of the same length. */
bool credentials_match(const struct credentials *c, struct span user, struct span password);

#endif
