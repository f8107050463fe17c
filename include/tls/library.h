/* wolfSSL as a whole: start, end, and the check that it has the policy's suites only. */
#ifndef TLS_LIBRARY_H
#define TLS_LIBRARY_H

#include "base/attr.h"
#include "base/text.h"

#include <stdbool.h>

/* Starts the library and reads its suites back. False with a sentence in errors unless they are
 * exactly the eight: the process must then stop. */
WARN_UNUSED bool tls_library_init(struct text *errors);
void tls_library_fini(void);
const char *tls_library_version(void);
/* The suites compiled in, colon-separated, as the library lists them. */
void tls_library_suites(struct text *out);

#endif
