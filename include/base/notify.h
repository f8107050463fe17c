/* Tells the service manager about this process, as sd_notify(3) does. */
#ifndef BASE_NOTIFY_H
#define BASE_NOTIFY_H

#include "base/attr.h"

/* Lines of VARIABLE=VALUE, to the socket that NOTIFY_SOCKET in the environment names. Does nothing
 * without it; a message that cannot be sent is dropped. */
void notify_manager(const char *format, ...) PRINTF(1, 2);

/* How often, in seconds, a service manager wants to hear WATCHDOG=1 at least (WATCHDOG_USEC,
 * sd_watchdog_enabled(3)); 0: never. */
double notify_watchdog_seconds(void);

#endif
