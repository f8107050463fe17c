/* Which connection makes room: the oldest one of the source that has the most. */
#include "helper.h"

#include "runtime/crowd.h"

enum { SOURCES = 40, STEPS = 20000, WAITERS = 600 };

static void the_largest_source_first(void **state)
{
    (void)state;
    struct crowd c = {0};
    struct waiter a[3] = {{0}}, b[2] = {{0}};
    struct queue *home_a = NULL, *home_b = NULL;
    assert_null(crowd_first(&c));
    crowd_join(&c, &home_b, &b[0]);
    crowd_join(&c, &home_a, &a[0]);
    crowd_join(&c, &home_a, &a[1]);
    assert_ptr_equal(crowd_first(&c), &a[0]);
    crowd_leave(&c, &a[0]);
    crowd_join(&c, &home_b, &b[1]);
    assert_ptr_equal(crowd_first(&c), &b[0]);
    crowd_leave(&c, &b[0]);
    crowd_leave(&c, &b[1]);
    assert_null(home_b);
    assert_ptr_equal(crowd_first(&c), &a[1]);
    crowd_leave(&c, &a[1]);
    crowd_leave(&c, &a[1]); /* it has left */
    assert_null(home_a);
    assert_null(crowd_first(&c));
    crowd_fini(&c);
}

/* The newest source does not make room for those that hold a place. */
static void of_equal_ones_the_first(void **state)
{
    (void)state;
    enum { EACH = 20 };
    struct crowd c = {0};
    struct waiter w[EACH] = {{0}}, second = {0};
    struct queue *homes[EACH] = {0};
    for (size_t i = 0; i < EACH; i++) {
        crowd_join(&c, &homes[i], &w[i]);
        assert_ptr_equal(crowd_first(&c), &w[0]);
    }
    crowd_join(&c, &homes[0], &second);
    crowd_leave(&c, &second);
    /* This source has had one again for less time than the others. */
    assert_ptr_equal(crowd_first(&c), &w[1]);
    for (size_t i = 1; i < EACH; i++) {
        assert_ptr_equal(crowd_first(&c), &w[i]);
        crowd_leave(&c, &w[i]);
    }
    assert_ptr_equal(crowd_first(&c), &w[0]);
    crowd_leave(&c, &w[0]);
    crowd_fini(&c);
}

/* Compared with a simple list. */
struct model {
    struct waiter waiter;
    int source; /* -1: out */
    unsigned long joined;
};

static void as_a_search_would(void **state)
{
    (void)state;
    static struct model all[WAITERS];
    struct queue *homes[SOURCES] = {0};
    struct crowd c = {0};
    unsigned random = 1;
    for (size_t i = 0; i < WAITERS; i++) all[i].source = -1;
    for (unsigned long step = 1; step <= STEPS; step++) {
        random = random * 1103515245u + 12345u;
        struct model *m = &all[random / 65536u % WAITERS];
        if (m->source >= 0) {
            crowd_leave(&c, &m->waiter);
            m->source = -1;
        } else {
            m->source = (int)(random / 7u % 3u ? random / 1024u % SOURCES : 0);
            m->joined = step;
            crowd_join(&c, &homes[m->source], &m->waiter);
        }
        size_t counts[SOURCES] = {0}, most = 0, of_first = 0;
        struct model *first = (struct model *)crowd_first(&c);
        for (size_t i = 0; i < WAITERS; i++)
            if (all[i].source >= 0) counts[all[i].source]++;
        for (size_t i = 0; i < SOURCES; i++) most = counts[i] > most ? counts[i] : most;
        assert_int_equal(first != NULL, most > 0);
        if (!first) continue;
        of_first = counts[first->source];
        assert_int_equal(of_first, most);
        for (size_t i = 0; i < WAITERS; i++)
            if (all[i].source == first->source) assert_true(all[i].joined >= first->joined);
    }
    for (size_t i = 0; i < WAITERS; i++) crowd_leave(&c, &all[i].waiter);
    for (size_t i = 0; i < SOURCES; i++) assert_null(homes[i]);
    crowd_fini(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_largest_source_first),
        cmocka_unit_test(of_equal_ones_the_first),
        cmocka_unit_test(as_a_search_would),
    };
    return cmocka_run_group_tests_name("crowd", tests, NULL, NULL);
}
