/* The bytes of a file or of standard input, unpacked where they are gzip's, in bounded memory.
 * The caller owns the input. Knows nothing of what the bytes mean. */
#ifndef BASE_INPUT_H
#define BASE_INPUT_H

#include "base/attr.h"
#include "base/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct input;

/* path: a file, or "-" for standard input. NULL with a sentence in errors. */
WARN_UNUSED struct input *input_open(const char *path, struct text *errors);
void input_close(struct input *in);

/* As read(2), but -1 also where the packed bytes end too soon, are damaged, or are packed with
 * something else than gzip (RFC 1952; several members are one file): see input_fault(). */
WARN_UNUSED ssize_t input_read(struct input *in, char *out, size_t room);
/* Why it failed, a clause; "" while it has not. Lives as long as the input. */
const char *input_fault(const struct input *in);

#endif
