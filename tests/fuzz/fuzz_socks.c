/* SOCKS 5: the methods, then the request. */
#include "fuzz.h"

#include "policy/hello.h"
#include "policy/socks.h"

static enum socks_status parse_request(const uint8_t *p, size_t n, size_t *used, struct target *t)
{
    enum socks_reply reply = SOCKS_SUCCEEDED;
    const char *why = NULL;
    uint8_t *copy = fuzz_copy(p, n);
    enum socks_status status = socks_parse_request(copy, n, used, t, &reply, &why);
    free(copy);
    CHECK((status == SOCKS_BAD) == (why != NULL) && (why != NULL) == (reply != SOCKS_SUCCEEDED));
    if (status != SOCKS_OK) return status;
    CHECK(*used <= n && t->host[0] && t->port);
    CHECK(t->is_ip || hello_name_is_valid(t->host, strlen(t->host)));
    return status;
}

/* A final status for a prefix is the status of the whole. */
static void check_growth(const uint8_t *p, size_t n, enum socks_status whole, size_t whole_used)
{
    for (size_t k = 0; k < n; k++) {
        struct target t;
        size_t used = 0;
        enum socks_status status = parse_request(p, k, &used, &t);
        if (status == SOCKS_MORE) continue;
        CHECK(status == whole && used == whole_used);
        return;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t used = 0;
    bool without = false, login = false;
    uint8_t *copy = fuzz_copy(data, size);
    enum socks_status status = socks_parse_methods(copy, size, &used, &without, &login);
    free(copy);
    CHECK(status == SOCKS_BAD ? size > 0 && data[0] != 5 : true);
    CHECK(used <= size);
    struct target t;
    const uint8_t *request = data + used;
    size_t left = size - used;
    used = 0;
    status = parse_request(request, left, &used, &t);
    check_growth(request, left, status, used);
    return 0;
}
