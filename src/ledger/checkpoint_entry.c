#include "ledger/checkpoint_entry.h"

#include <jansson.h>

#include <string.h>

static bool copy_member(json_t *object, const char *key, char *out, size_t size)
{
    const char *s = json_string_value(json_object_get(object, key));
    if (!s || strlen(s) >= size) return false;
    memcpy(out, s, strlen(s) + 1);
    return true;
}

/* A record's number and hash. */
static bool copy_place(json_t *object, const char *sequence, const char *hash, struct chain *out)
{
    json_int_t n = json_integer_value(json_object_get(object, sequence));
    out->sequence = n > 0 ? (uint64_t)n : 0;
    return n > 0 && copy_member(object, hash, out->hash, sizeof out->hash) &&
           strlen(out->hash) == CHAIN_HASH;
}

bool checkpoint_read(const struct line_view *line, struct checkpoint *out)
{
    *out = (struct checkpoint){0};
    json_t *record = json_loadb(line->p, line->n, 0, NULL);
    json_t *log = json_object_get(json_object_get(record, "suitegate"), "log");
    bool ok = copy_member(record, "@timestamp", out->time, sizeof out->time) &&
              copy_member(log, "key_id", out->key_id, sizeof out->key_id) &&
              copy_member(log, "public_key", out->public_key, sizeof out->public_key) &&
              copy_member(log, "signature", out->signature, sizeof out->signature) &&
              copy_place(log, "head_sequence", "head_hash", &out->head) &&
              strspn(out->key_id, "0123456789abcdef") == LOG_KEY_ID;
    if (ok && json_object_get(log, "previous_sequence"))
        ok = copy_place(log, "previous_sequence", "previous_hash", &out->previous);
    if (ok && json_object_get(log, "next_public_key"))
        ok = copy_member(log, "next_public_key", out->next_key, sizeof out->next_key);
    const char *trigger = json_string_value(json_object_get(log, "trigger"));
    out->at_start = trigger && strcmp(trigger, "start") == 0 && out->head.sequence > 1;
    out->at_stop = trigger && strcmp(trigger, "stop") == 0;
    json_decref(record);
    return ok;
}
