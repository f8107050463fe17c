#include "record_offer.h"

#include "pki/keys.h"
#include "policy/assess.h"

#include <stdio.h>

/* One row per list: its name, its count's name, its share of the room in eighths. The counts follow
 * the order of this table. */
static const struct {
    const char *key, *count_key;
    size_t share;
} rows[OFFER_LISTS] = {
    [OFFER_SUITES] = {"supported_ciphers", "suites", 3},
    [OFFER_VERSIONS] = {"supported_versions", "versions", 1},
    [OFFER_GROUPS] = {"groups", "groups", 1},
    [OFFER_SCHEMES] = {"signature_schemes", "signature_schemes", 1},
    [OFFER_WEAK] = {"weak_offers", "weak_offers", 2},
};
enum { SHARES = 8, ITEM_MOST = 64 /* the longest name, its quotes and its comma */ };

struct list_writer {
    struct json *j;
    struct offer_lists *lists;
    enum offer_list list;
    size_t end; /* the largest size of j->out */
    bool full;
};

static struct list_writer list_begin(struct json *j, struct offer_lists *lists,
                                     enum offer_list list)
{
    json_put_array(j, rows[list].key);
    lists->counts[list] = 0;
    size_t room = lists->room / SHARES * rows[list].share;
    return (struct list_writer){.j = j, .lists = lists, .list = list, .end = j->out->size + room};
}

static void record_queue_add(struct list_writer *l, const char *name, uint16_t id)
{
    l->lists->counts[l->list]++;
    l->full = l->full || l->j->out->size + ITEM_MOST > l->end;
    if (l->full)
        l->lists->cut = true;
    else
        record_put_id(l->j, NULL, name, id);
}

void record_put_id(struct json *j, const char *key, const char *name, uint16_t id)
{
    char number[8];
    if (!name) snprintf(number, sizeof number, "0x%04X", id);
    json_put_string(j, key, name ? name : number);
}

void record_put_sha256(struct json *j, const char *key, const void *p, size_t n)
{
    uint8_t digest[32];
    char hash[2 * sizeof digest + 1];
    if (!digest_sha256(p, n, digest)) return;
    text_hex(digest, sizeof digest, hash);
    json_put_string(j, key, hash);
}

/* ---- the lists ---- */

static const char *scheme_name(uint16_t id)
{
    const struct scheme *s = scheme_by_id(id);
    return s ? s->name : NULL;
}

static void put_ids(struct json *j, struct offer_lists *lists, enum offer_list list,
                    struct span ids, const char *(*name)(uint16_t id))
{
    struct list_writer l = list_begin(j, lists, list);
    for (size_t i = 0; i < ids.n / 2; i++) {
        uint16_t id = span_u16(ids, i);
        if (!is_grease(id)) record_queue_add(&l, name(id), id);
    }
    json_end_array(j);
}

static void put_versions(struct json *j, const struct hello *h, struct offer_lists *lists)
{
    char scratch[VERSION_TEXT_SIZE];
    struct list_writer l = list_begin(j, lists, OFFER_VERSIONS);
    for (size_t i = 0; i < h->supported_versions.n / 2; i++) {
        uint16_t v = span_u16(h->supported_versions, i);
        if (!is_grease(v)) record_queue_add(&l, version_name(v, scratch), v);
    }
    json_end_array(j);
}

static void add_weak_offer(void *arg, enum weak_kind kind, uint16_t id, const char *name)
{
    (void)kind;
    record_queue_add(arg, name, id);
}

/* Weak offers, which other servers might accept. */
static void put_weak_offers(struct json *j, const struct hello *h, struct offer_lists *lists)
{
    struct list_writer l = list_begin(j, lists, OFFER_WEAK);
    assess_each_weak(h, add_weak_offer, &l);
    json_end_array(j);
}

static void put_approved(struct json *j, suite_set set)
{
    json_put_array(j, "approved");
    for (size_t i = 0; i < SUITE_COUNT; i++)
        if (set & suite_bit(&suites[i])) json_put_string(j, NULL, suites[i].iana);
    json_end_array(j);
}

/* ---- the members ---- */

void record_put_tls_client(struct json *j, const struct hello *h, const char *ja4,
                           struct offer_lists *lists)
{
    json_put_optional(j, "server_name", h->server_name);
    put_ids(j, lists, OFFER_SUITES, h->cipher_suites, cipher_name);
    json_put_optional(j, "ja4", ja4);
}

/* What a record with cut lists says about the whole hello. */
static void put_whole(struct json *j, const struct hello *h, const struct offer_lists *lists)
{
    json_put_bool(j, "lists_cut", true);
    json_put_object(j, "offer");
    for (size_t i = 0; i < OFFER_LISTS; i++)
        json_put_number(j, rows[i].count_key, (int64_t)lists->counts[i]);
    record_put_sha256(j, "sha256", h->message.p, h->message.n);
    json_end_object(j);
}

void record_put_client(struct json *j, const struct hello *h, suite_set offered,
                       struct offer_lists *lists)
{
    char scratch[VERSION_TEXT_SIZE];
    json_put_object(j, "client");
    json_put_string(j, "hello_version", version_name(h->legacy_version, scratch));
    put_versions(j, h, lists);
    put_ids(j, lists, OFFER_GROUPS, h->groups, group_name);
    put_ids(j, lists, OFFER_SCHEMES, h->schemes, scheme_name);
    put_approved(j, offered);
    put_weak_offers(j, h, lists);
    json_put_bool(j, "fallback_scsv", h->fallback_scsv);
    json_put_bool(j, "grease", h->grease);
    if (lists->cut) put_whole(j, h, lists);
    json_end_object(j);
}

void record_put_offer(struct json *j, const char *key, const struct audit_offer *o)
{
    char scratch[VERSION_TEXT_SIZE];
    json_put_object(j, key);
    json_put_string(j, "connection_id", o->connection_id);
    json_put_string(j, "highest_version", version_name(o->highest_version, scratch));
    put_approved(j, o->approved);
    json_end_object(j);
}
