/* A parent proxy's answers: to CONNECT, and in SOCKS 5. */
#include "fuzz.h"

#include "policy/connect_answer.h"
#include "policy/socks.h"

static enum connect_answer_status parse(const uint8_t *p, size_t n, size_t *used,
                                        struct connect_answer *out)
{
    uint8_t *copy = fuzz_copy(p, n);
    enum connect_answer_status status = connect_answer_parse(copy, n, used, out);
    free(copy);
    if (status != CONNECT_ANSWER_OK) return status;
    CHECK(*used > 0 && *used <= n && *used <= CONNECT_ANSWER_LIMIT);
    CHECK(out->status >= 100 && out->status <= 599);
    for (const char *c = out->reason; *c; c++) CHECK(*c >= ' ' && *c <= '~');
    for (const char *c = out->schemes; *c; c++) CHECK(*c >= ' ' && *c <= '~');
    return status;
}

static void check_socks(const uint8_t *p, size_t n)
{
    size_t used = 0;
    uint8_t code = 0;
    bool accepted;
    uint8_t *copy = fuzz_copy(p, n);
    if (socks_parse_reply(copy, n, &used, &code) == SOCKS_OK) CHECK(used <= n);
    if (socks_parse_choice(copy, n, &used, &code) == SOCKS_OK) CHECK(used == 2 && n >= 2);
    if (socks_parse_login_answer(copy, n, &used, &accepted) == SOCKS_OK) CHECK(used == 2);
    struct span user, password;
    if (socks_parse_login(copy, n, &used, &user, &password) == SOCKS_OK)
        CHECK(used == 3 + user.n + password.n && used <= n);
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct connect_answer whole, part;
    size_t used = 0, less = 0;
    enum connect_answer_status status = parse(data, size, &used, &whole);
    /* A final status for a prefix is the status of the whole. */
    for (size_t k = 0; k < size && k < 300; k++) {
        enum connect_answer_status early = parse(data, k, &less, &part);
        if (early == CONNECT_ANSWER_MORE) continue;
        CHECK(early == status && (early != CONNECT_ANSWER_OK || less == used));
        break;
    }
    check_socks(data, size);
    return 0;
}
