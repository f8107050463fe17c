/* Named numbers of a struct as lines of text, "name number", for other processes to read. */
#ifndef BASE_NUMBERS_H
#define BASE_NUMBERS_H

#include "base/attr.h"
#include "base/text.h"

/* One member of type unsigned long. */
struct number_row {
    const char *name;
    size_t offset;
};

void numbers_put(const struct number_row *rows, size_t n, const void *from, struct text *out);
/* The row's member becomes the number at the beginning of `value`. No effect for another name. */
void numbers_read(const struct number_row *rows, size_t n, const char *name, const char *value,
                  void *to);
/* Calls `each` with the first word of each line and what follows a blank. */
void numbers_each_line(const char *text,
                       void (*each)(void *arg, const char *name, const char *rest), void *arg);

#endif
