/* The configuration: an accepted one must print as text that reads back as the same. */
#include "fuzz.h"

#include "config/config.h"

/* The INI library's own limit: spaces around "=" can make a printed line longer than read. */
static bool has_long_line(const char *s)
{
    for (; *s; s += strcspn(s, "\n") + (strchr(s, '\n') != NULL))
        if (strcspn(s, "\n") > 197) return true;
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct text errors = {0}, first = {0}, second = {0};
    uint8_t *copy = fuzz_copy(data, size);
    struct config *c = config_parse((const char *)copy, size, "suitegate.ini", &errors);
    free(copy);
    /* There are errors if and only if it is refused. */
    CHECK((c == NULL) == (errors.size > 0));
    if (c) {
        CHECK(c->proxy.workers > 0);
        CHECK(c->policy.allowed != 0);
        CHECK((c->policy.allowed & ~policy_profile_suites(c->policy.profile)) == 0);
        CHECK(c->policy.minimum_rsa_bits >= POLICY_RSA_BITS_FLOOR);
        config_print(c, &first);
        struct config *again =
            config_parse(text_string(&first), first.size, "suitegate.ini", &errors);
        if (!again) {
            fprintf(stderr, "%s\n%s\n", text_string(&first), text_string(&errors));
            CHECK(has_long_line(text_string(&first)));
        } else {
            config_print(again, &second);
            CHECK(strcmp(text_string(&first), text_string(&second)) == 0);
            CHECK(again->policy.allowed == c->policy.allowed);
            CHECK(again->listener_count == c->listener_count);
        }
        config_free(again);
    }
    config_free(c);
    text_fini(&errors);
    text_fini(&first);
    text_fini(&second);
    return 0;
}
