/* What a process sends to the clerk: frames and their lines. What is taken as an open line is JSON
 * once it is closed, as jansson reads it, and has one dataset. */
#include "audit/frame.h"
#include "audit/open_line.h"
#include "audit/receipt.h"

#include <jansson.h>

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void judge(struct span line)
{
    struct receipt receipt;
    (void)!receipt_read((const char *)line.p, line.n, &receipt);
    if (!open_line_is_sound(line, "connection-closed")) return;
    /* A reader finds event's own. */
    static const char wanted[] = OPEN_LINE_ACTION;
    const uint8_t *at = memmem(line.p, line.n, wanted, sizeof wanted - 1);
    if (!at || memmem(at + 1, (size_t)(line.p + line.n - at) - 1, wanted, sizeof wanted - 1))
        abort();
    char *whole = malloc(line.n + 2);
    if (!whole) return;
    memcpy(whole, line.p, line.n);
    memcpy(whole + line.n, "}}", 2);
    json_error_t error;
    json_t *json = json_loadb(whole, line.n + 2, 0, &error);
    const json_t *action = json_object_get(json_object_get(json, "event"), "action");
    /* jansson refuses what is JSON all the same: numbers that are too large, and U+0000. */
    bool large = !json && json_error_code(&error) == json_error_numeric_overflow;
    bool null = !json && json_error_code(&error) == json_error_null_character;
    if (!large && !null && strcmp(json_string_value(action), "connection-closed") != 0) abort();
    json_decref(json);
    free(whole);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct span rest = {p, n};
    struct frame f;
    size_t used;
    judge(rest);
    while (frame_read(rest, &f, &used) == FRAME_WHOLE) {
        judge(f.line);
        rest.p += used;
        rest.n -= used;
    }
    return 0;
}
