#include "recording.h"

#include "repeats.h"

#include "audit/fallback.h"
#include "audit/frame.h"
#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct recording *recording_new(void)
{
    struct recording *shared = calloc(1, sizeof *shared);
    if (!shared) return NULL;
    pthread_mutex_init(&shared->lock, NULL);
    shared->repeats = repeats_new();
    shared->memory = fallback_memory_new();
    if (shared->repeats && shared->memory) return shared;
    recording_free(shared);
    return NULL;
}

size_t recording_free(struct recording *shared)
{
    if (!shared) return 0;
    size_t lost = atomic_load(&shared->lost);
    repeats_free(shared->repeats);
    fallback_memory_free(shared->memory);
    pthread_mutex_destroy(&shared->lock);
    free(shared);
    return lost;
}

bool recording_has_room(const struct recording *shared)
{
    return atomic_load_explicit(&shared->short_of_memory, memory_order_relaxed) == 0 &&
           atomic_load_explicit(&shared->queued, memory_order_relaxed) < RECORDING_LIMIT &&
           atomic_load_explicit(&shared->queued_bytes, memory_order_relaxed) < RECORDING_BYTES;
}

bool recording_available(const struct recording *shared)
{
    return atomic_load_explicit(&shared->silent, memory_order_relaxed) == 0 &&
           recording_has_room(shared);
}

uint32_t recording_take_unreported(struct recording *shared)
{
    if (atomic_load_explicit(&shared->unreported, memory_order_relaxed) == 0) return 0;
    unsigned all = atomic_exchange(&shared->unreported, 0);
    if (all <= FRAME_LOST) return all;
    atomic_fetch_add(&shared->unreported, all - FRAME_LOST);
    return FRAME_LOST;
}

bool recording_notice(struct recording *shared, const struct audit_offer *offer,
                      struct audit_offer *before)
{
    pthread_mutex_lock(&shared->lock);
    bool noticed = fallback_notice(shared->memory, offer, clock_steady_ns(), before);
    pthread_mutex_unlock(&shared->lock);
    return noticed;
}

/* An IPv6 /64 counts as one source: one host may have all of it. */
static struct addr source_of(const struct addr *a)
{
    struct addr source = *a;
    uint8_t bytes[16];
    if (addr_bytes(a, bytes) == sizeof bytes)
        memset(source.v6.sin6_addr.s6_addr + 8, 0, sizeof bytes - 8);
    return source;
}

bool recording_count(struct recording *shared, const struct addr *source, const char *listener,
                     const char *destination, enum reason reason, struct audit_repeated *displaced)
{
    struct audit_repeated refusal = {.source = source_of(source), .reason = reason};
    clock_gettime(CLOCK_REALTIME, &refusal.first);
    refusal.last = refusal.first;
    snprintf(refusal.listener, sizeof refusal.listener, "%s", listener);
    pthread_mutex_lock(&shared->lock);
    bool counted =
        repeats_count(shared->repeats, &refusal, destination, clock_steady_ns(), displaced);
    pthread_mutex_unlock(&shared->lock);
    return counted;
}

bool recording_take_count(struct recording *shared, int64_t now_ns, struct audit_repeated *out)
{
    pthread_mutex_lock(&shared->lock);
    bool due = repeats_take(shared->repeats, now_ns, out);
    pthread_mutex_unlock(&shared->lock);
    return due;
}

bool recording_has_counts(struct recording *shared)
{
    pthread_mutex_lock(&shared->lock);
    bool any = repeats_due(shared->repeats) != 0;
    pthread_mutex_unlock(&shared->lock);
    return any;
}
