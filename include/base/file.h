/* Small files, read whole; secrets written so that no one else can read them. */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include "base/attr.h"
#include "base/text.h"

#include <stdbool.h>
#include <sys/stat.h>

/* 0, or an errno; *st (may be NULL) is of the file that was read. EFBIG above limit bytes. A
 * symbolic link is followed: operators and their tools make them. */
WARN_UNUSED int file_read(const char *path, size_t limit, struct text *out, struct stat *st);
/* The same of a file that this program makes itself: ELOOP where it is a symbolic link. */
WARN_UNUSED int file_read_own(const char *path, size_t limit, struct text *out, struct stat *st);
/* May this hold a private key? It has to be root's or this process's user's (any_owner: anybody's),
 * without the permission bits `others`. False with a sentence in errors that says what to do. */
WARN_UNUSED bool file_is_private(const char *path, const struct stat *st, mode_t others,
                                 bool any_owner, struct text *errors);
/* Creates the file with these permissions; EEXIST when there is one. 0, or an errno. */
WARN_UNUSED int file_create(const char *path, mode_t mode, const char *text);

#endif
