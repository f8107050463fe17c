/* The bytes of a file or of standard input, decompressed if they are gzip's, in bounded memory. The
 * caller owns the input. Knows nothing of what the bytes mean. */
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

/* As read(2), but also -1 when compressed data is cut short, damaged, or in another format than
 * gzip (RFC 1952; several members are one file): see input_fault(). */
WARN_UNUSED ssize_t input_read(struct input *in, char *out, size_t room);
/* Why reading failed, as a clause; "" if it has not. Lives as long as the input. */
const char *input_fault(const struct input *in);

#endif
