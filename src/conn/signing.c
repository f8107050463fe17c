/* Signatures with keys that only the keeper has: a session's handshake waits for one. */
#include "conn/conn_impl.h"

#include <stddef.h>

static void on_answer(struct signing *signing, const struct sign_answer *answer)
{
    struct conn_signing *s =
        (struct conn_signing *)((char *)signing - offsetof(struct conn_signing, signing));
    session_give_signature(s->session, answer ? (const uint8_t *)answer->bytes : NULL,
                           answer ? answer->size : 0);
    conn_run(s->conn);
}

enum step signing_begin(struct conn *c, struct session *session, enum sign_what what, size_t index)
{
    struct conn_signing *s = &c->setup->signing;
    struct sign_order order;
    s->conn = c;
    s->session = session;
    s->back = c->state;
    runtime_order_signature(c->runtime, what, index, session_wanted_signature(session), &order);
    if (!signer_ask(c->worker->signer, &s->signing, &order, on_answer))
        return conn_refuse(c, REASON_INTERNAL_ERROR);
    conn_set_state(c, CONN_SIGNING);
    return STEP_WAIT;
}

enum step signing_step(struct conn *c)
{
    const struct conn_signing *s = &c->setup->signing;
    if (signing_waits(&s->signing)) return STEP_WAIT;
    conn_set_state(c, s->back);
    return STEP_AGAIN;
}

void signing_overdue(struct conn *c)
{
    c->detail = "The process that has the private keys did not sign in time.";
    conn_refuse(c, REASON_INTERNAL_ERROR);
}

void signing_abandon(struct conn *c)
{
    if (!c->setup) return;
    signing_forget(&c->setup->signing.signing);
    mints_leave(&c->worker->mints, &c->setup->mint);
}
