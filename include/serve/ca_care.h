/* The running process takes care of the local CA's files: renews what is due, and tells the
 * operator. For the main thread. */
#ifndef SERVE_CA_CARE_H
#define SERVE_CA_CARE_H

#include "config/config.h"

#include <stdbool.h>
#include <time.h>

/* Renews what is due of this configuration. True: files have changed, so that it has to be read
 * again. */
bool ca_care_run(const struct config *c, time_t now);
/* The same before the configuration is read; its faults are for whoever reads it. */
void ca_care_begin(const char *config_file, time_t now);

#endif
