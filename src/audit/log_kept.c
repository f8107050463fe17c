#include "audit/log_kept.h"

#include "base/diag.h"
#include "base/file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FILE_LIMIT = 64 << 10 };

bool log_keep(const struct logfile *l, struct snapshot *s)
{
    struct text pem = {0}, is = {0};
    bool ok = true;
    if (l->has_key) ok = key_to_pem(&l->key.key, &pem) && snapshot_put(s, l->key_path, &pem);
    if (ok && state_content(&l->state, &is)) ok = snapshot_put(s, l->state.path, &is);
    text_wipe(&pem);
    text_fini(&is);
    return ok && !is.failed;
}

/* Takes the path. */
static void put_back(char *path, mode_t mode, struct snapshot *kept)
{
    static int64_t last_complaint;
    struct text content = {0};
    if (path && snapshot_has(kept, path) && access(path, F_OK) < 0 && errno == ENOENT &&
        snapshot_read(kept, path, FILE_LIMIT, &content, NULL) == 0) {
        int fault = file_create(path, mode, &content);
        if (fault && diag_due(&last_complaint, (int64_t)10 * 1000000000))
            diag_warning("%s was gone and cannot be written anew: %s", path, strerror(fault));
        else if (!fault)
            diag_warning("%s was gone and is written anew", path);
    }
    text_wipe(&content);
    free(path);
}

void log_put_back(const struct audit_config *config, struct snapshot *kept)
{
    put_back(logfile_key_path(config), 0600, kept);
    put_back(logfile_state_path(config), 0640, kept);
}
