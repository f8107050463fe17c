/* Files of addresses and destinations: text with one entry per line, or the service tags that
 * Microsoft publishes for Azure as JSON, of which #TAG behind the path picks one. Files are read
 * whole or not at all. */
#ifndef RUNTIME_LIST_FILES_H
#define RUNTIME_LIST_FILES_H

#include "base/snapshot.h"
#include "config/config.h"

/* Adds the entries of all files that the configuration names, and makes the indexes. files: see
 * base/snapshot.h, or NULL. Faults are lines in errors. */
void list_files_read(struct config *c, struct snapshot *files, struct text *errors);
/* The entries of one file's content; tag: NULL for none. */
void list_content_read(struct pattern_list *list, const char *tag, const struct text *content,
                       struct text *errors);
/* Calls `each` with each file's path, perhaps repeatedly. */
void list_files_each(const struct config *c, void (*each)(void *arg, const char *path), void *arg);

#endif
