/* Compiler attributes under short names (C11 has none of its own for these). */
#ifndef BASE_ATTR_H
#define BASE_ATTR_H

#define WARN_UNUSED __attribute__((warn_unused_result))
#define PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))
#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

#endif
