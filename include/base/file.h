/* Small files, read whole; secrets written so that no one else can read them. */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include "base/attr.h"
#include "base/text.h"

#include <sys/types.h>

/* 0, or an errno; *mode (may be NULL) gets the permission bits. EFBIG above limit bytes. */
WARN_UNUSED int file_read(const char *path, size_t limit, struct text *out, mode_t *mode);
/* Creates the file with these permissions; EEXIST when there is one. 0, or an errno. */
WARN_UNUSED int file_create(const char *path, mode_t mode, const char *text);

#endif
