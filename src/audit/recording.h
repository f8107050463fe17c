/* What all recorders of a process share: counters, and under a lock the counts of repeated refusals
 * and the memory of failed attempts. From any thread. Private to audit/: recorder.c. */
#ifndef AUDIT_RECORDING_H
#define AUDIT_RECORDING_H

#include "audit/recorder.h"

#include <pthread.h>
#include <stdatomic.h>

struct recording {
    atomic_size_t queued, queued_bytes; /* not yet written */
    atomic_size_t lost;
    atomic_uint unreported;      /* of those, what no frame has told the clerk */
    atomic_uint short_of_memory; /* recorders that use their spare memory */
    atomic_uint silent;          /* recorders whose clerk is gone or cannot write */
    pthread_mutex_t lock;
    /* Under lock: */
    struct repeats *repeats;
    struct fallback_memory *memory;
};

/* How many losses the next frame reports. */
uint32_t recording_take_unreported(struct recording *shared);
/* audit/fallback.h, now. */
bool recording_notice(struct recording *shared, const struct audit_offer *offer,
                      struct audit_offer *before);
/* repeats.h, repeats_count(), now. */
bool recording_count(struct recording *shared, const struct addr *source, const char *listener,
                     const char *destination, enum reason reason, struct audit_repeated *displaced);
WARN_UNUSED bool recording_take_count(struct recording *shared, int64_t now_ns,
                                      struct audit_repeated *out);
bool recording_has_counts(struct recording *shared);

#endif
