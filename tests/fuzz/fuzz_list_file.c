/* Files of destinations, as text and as service tags. What is read is found again. */
#include "fuzz.h"

#include "runtime/list_files.h"

static void check_found(const struct pattern_list *list)
{
    for (size_t i = 0; i < list->n && i < 64; i++) {
        const struct pattern *p = &list->items[i];
        struct target t = {.port = p->port_count ? p->ports[0].from : 443};
        if (p->any || p->wildcard || !p->host[0]) continue;
        snprintf(t.host, sizeof t.host, "%s", p->host);
        CHECK(list_has_target(list, &t, true));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pattern_list list = {0};
    struct text content = {0}, errors = {0};
    bool tagged = size > 0 && data[0] & 1;
    if (size > 0) text_add_bytes(&content, (const char *)data + 1, size - 1);
    list_content_read(&list, tagged ? "A" : NULL, &content, &errors);
    CHECK(list_index_patterns(&list));
    check_found(&list);
    CHECK(errors.size < 8192);
    list_free_patterns(&list);
    text_fini(&content);
    text_fini(&errors);
    return 0;
}
