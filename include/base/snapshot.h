/* The files of a configuration, kept as they were read, so that a process that may open none reads
 * the very same. Files are named by the paths with which they were asked for. */
#ifndef BASE_SNAPSHOT_H
#define BASE_SNAPSHOT_H

#include "base/attr.h"
#include "base/text.h"

#include <stdbool.h>
#include <sys/stat.h>

struct snapshot;

/* Empty: files are read from the disk and kept. NULL when out of memory. */
WARN_UNUSED struct snapshot *snapshot_new(void);
/* All that is kept, in a memory file that nobody can change: the caller's descriptor. -1 with
 * errno. */
WARN_UNUSED int snapshot_seal(const struct snapshot *s);
/* What such a file has, and nothing else: no file is opened. Does not take fd. NULL with errno. */
WARN_UNUSED struct snapshot *snapshot_open(int fd);
void snapshot_free(struct snapshot *s);

/* In each of these s may be NULL: files are read from the disk and not kept. */

/* Was it made by snapshot_open()? Its files were judged by whoever made it. */
bool snapshot_is_given(const struct snapshot *s);
/* As file_read_kept() (base/file.h). Of a given one only the size in *st is set. */
WARN_UNUSED int snapshot_read(struct snapshot *s, const char *path, size_t limit, struct text *out,
                              struct stat *st);
/* Is there such a file? True also if that cannot be known, so that reading it tells why. */
bool snapshot_has(const struct snapshot *s, const char *path);
/* Keeps this as the file's content instead of what was read. False when out of memory. */
WARN_UNUSED bool snapshot_put(struct snapshot *s, const char *path, const struct text *content);

#endif
