/* Small files, read whole; secrets written so that no one else can read them. */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include "base/attr.h"
#include "base/text.h"

#include <limits.h>
#include <stdbool.h>
#include <sys/stat.h>

/* 0, or an errno: EFBIG above limit bytes. *st (may be NULL) describes the file that was read.
 * Follows symbolic links: operators and their tools make them. */
WARN_UNUSED int file_read(const char *path, size_t limit, struct text *out, struct stat *st);
/* The same for a file that is read again at each reload: EOPNOTSUPP for a pipe, which would block.
 */
WARN_UNUSED int file_read_kept(const char *path, size_t limit, struct text *out, struct stat *st);
/* The same for a file that this program creates itself: ELOOP for a symbolic link. */
WARN_UNUSED int file_read_own(const char *path, size_t limit, struct text *out, struct stat *st);
/* Why it cannot be read, as a sentence; for want of permission also who would have to own it. */
void file_explain(const char *path, int fault, struct text *errors);
/* Private keys may belong to this user, too: this process, or one that it starts, is about to
 * become that one. */
void file_allow_owner(uid_t user);
/* Permission bits that a key file must not have. */
enum { MODE_OTHERS = 007, MODE_ALL_BUT_OWNER = 077 };
/* May this file hold a private key? It must belong to root, this process's user or an
 * allowed one (any_owner: to anybody) and have none of the permission bits `others`. False with a
 * sentence in errors that says what to do. */
WARN_UNUSED bool file_is_private(const char *path, const struct stat *st, mode_t others,
                                 bool any_owner, struct text *errors);
/* Do both describe the same file with the same content? Times have nanoseconds: several changes in
 * a second are several. */
bool file_is_same(const struct stat *a, const struct stat *b);
/* The folder of a path: "." if it names none. False: it is too long. */
WARN_UNUSED bool file_folder(const char *path, char out[PATH_MAX]);
/* Creates the file with these permissions; 0, or an errno: EEXIST when it exists. */
WARN_UNUSED int file_create(const char *path, mode_t mode, const struct text *content);
/* Creates or replaces it; a reader finds the old or the new one, whole. Whoever owned the old one,
 * or else owns the folder, owns the new one, if this process may say so. One writer at a time. 0,
 * or an errno. */
WARN_UNUSED int file_replace(const char *path, mode_t mode, const struct text *content);

#endif
