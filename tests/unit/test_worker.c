/* The worker's mailbox: all that is posted is delivered, once and in order. */
#include "helper.h"

#include "runtime/worker.h"

struct letter {
    struct mail mail;
    unsigned number;
};

static unsigned delivered[16], count;
static struct letter answer;

static void deliver(struct worker *w, struct mail *mail)
{
    (void)w;
    delivered[count++] = ((struct letter *)mail)->number;
}

/* Delivering posts another one. */
static void deliver_and_post(struct worker *w, struct mail *mail)
{
    deliver(w, mail);
    answer = (struct letter){.mail = {.deliver = deliver}, .number = 99};
    worker_post(w, &answer.mail);
}

static void all_mail_arrives_in_order(void **state)
{
    (void)state;
    static struct worker w;
    static struct worker_shared shared;
    struct letter letters[5];
    shared.recording = recording_new();
    assert_non_null(shared.recording);
    assert_true(worker_init(&w, 3, &shared));
    for (unsigned round = 0; round < 3; round++) {
        count = 0;
        for (unsigned i = 0; i < N_OF(letters); i++) {
            letters[i] = (struct letter){.mail = {.deliver = i == 2 ? deliver_and_post : deliver},
                                         .number = 10 * round + i};
            worker_post(&w, &letters[i].mail);
        }
        while (count < N_OF(letters) + 1) ev_run(w.loop, EVRUN_ONCE);
        for (unsigned i = 0; i < N_OF(letters); i++) assert_int_equal(delivered[i], 10 * round + i);
        assert_int_equal(delivered[N_OF(letters)], 99);
    }
    worker_fini(&w);
    recording_free(shared.recording);
}

/* Ids of two workers are never the same. */
static void ids_tell_the_worker(void **state)
{
    (void)state;
    static struct worker one = {.number = 1}, other = {.number = 2};
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(worker_next_id(&one), i << 8 | 1);
        assert_int_equal(worker_next_id(&other), i << 8 | 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_mail_arrives_in_order),
        cmocka_unit_test(ids_tell_the_worker),
    };
    return cmocka_run_group_tests_name("worker", tests, NULL, NULL);
}
