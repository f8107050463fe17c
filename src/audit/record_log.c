#include "record_log.h"

#include "record_offer.h"

#include <string.h>

enum { NAME_MOST = 512, TORN_MOST = 10240 };

static bool is_empty(const struct audit_log *log)
{
    return !log->trigger && !log->sink && !log->missing_from && !(log->torn && log->torn->size);
}

void record_put_log(struct json *j, const struct audit_log *log)
{
    if (is_empty(log)) return;
    json_put_object(j, "log");
    json_put_optional(j, "trigger", log->trigger);
    if (log->head) {
        json_put_number(j, "head_sequence", (int64_t)log->head->sequence);
        json_put_string(j, "head_hash", log->head->hash);
    }
    if (log->previous) {
        json_put_number(j, "previous_sequence", (int64_t)log->previous->sequence);
        json_put_string(j, "previous_hash", log->previous->hash);
    }
    json_put_optional(j, "key_id", log->key_id);
    json_put_optional(j, "public_key", log->public_key);
    json_put_optional(j, "next_key_id", log->next_key_id);
    json_put_optional(j, "next_public_key", log->next_public_key);
    json_put_optional(j, "signature", log->signature);
    if (log->torn && log->torn->size) {
        json_put_number(j, "torn_bytes", (int64_t)log->torn->size);
        if (!json_put_cut(j, "torn", log->torn->data, log->torn->size, TORN_MOST))
            record_put_sha256(j, "torn_sha256", log->torn->data, log->torn->size);
    }
    if (log->missing_from) {
        json_put_number(j, "missing_from", (int64_t)log->missing_from);
        json_put_number(j, "missing_to", (int64_t)log->missing_to);
    }
    if (log->sink) json_put_cut(j, "sink", log->sink, strlen(log->sink), NAME_MOST);
    if (log->dropped) json_put_number(j, "dropped", (int64_t)log->dropped);
    json_end_object(j);
}

void record_put_cut(struct json *j, const struct audit_cut *cut)
{
    json_put_object(j, "cut");
    json_put_number(j, "connections", (int64_t)cut->count);
    json_put_bool(j, "complete", cut->complete);
    json_put_array(j, "ids");
    for (size_t i = 0; i < cut->n; i++) json_put_string(j, NULL, cut->ids[i]);
    json_end_array(j);
    json_end_object(j);
}
