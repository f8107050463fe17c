/* A configuration as the keeper has it, with what a proxy needs to serve it. */
#ifndef SERVE_SETTING_H
#define SERVE_SETTING_H

#include "serve/proxy_process.h"
#include "serve/sockets.h"

/* files: the configuration's snapshot (base/snapshot.h). Without a configuration: loaded NULL,
 * files -1. */
struct setting {
    struct loaded_config *loaded;
    struct sockets sockets;
    int files;
};

/* The configuration's file too, or only those that it names. */
enum setting_scope { SETTING_ALL, SETTING_FILES };

/* From what it is made. serial: tells configurations apart (runtime/sign_order.h). running: the one
 * in use, whose sockets are shared; NULL for the first one. inherited: or NULL. */
struct setting_source {
    const char *config_file;
    uint32_t serial;
    const struct setting *running;
    struct inherited *inherited;
    enum setting_scope scope;
};

/* False with sentences in errors, and without a configuration. */
WARN_UNUSED bool setting_read(struct setting *s, const struct setting_source *from,
                              struct text *errors);
/* As the proxy's next one: see proxy_process_load(). */
void setting_give(const struct setting *s, const char *config_file, struct proxy_process *proxy);
void setting_fini(struct setting *s);

/* Prints where it listens to standard output, unless records go there. */
void setting_announce(const struct setting *s);
/* As many descriptors as are allowed, with a warning if they are too few. */
void setting_raise_descriptors(const struct setting *s);

#endif
