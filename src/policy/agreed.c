#include "policy/agreed.h"

#include "policy/wire.h"

#include <string.h>

bool agreed_is_h2_with_cbc(const struct agreed *a)
{
    const struct suite *suite = suite_by_id(a->suite);
    return strcmp(a->alpn, "h2") == 0 && suite && suite->mode == SUITE_CBC;
}

bool agreed_is_allowed(const struct agreed *a, suite_set allowed, bool proved)
{
    const struct suite *suite = suite_by_id(a->suite);
    return a->version == TLS_1_2 && suite && (allowed & suite_bit(suite)) &&
           (a->resumed || group_allowed(a->group)) && !agreed_is_h2_with_cbc(a) && proved;
}
