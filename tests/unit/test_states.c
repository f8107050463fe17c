/* audit/log_state, operate/keeper_state: what is told is read back; nonsense does no harm. */
#include "audit/log_state.h"
#include "helper.h"
#include "operate/keeper_state.h"

static void log_state(void **state)
{
    (void)state;
    struct log_state told = {.written = 5, .waiting = 6, .failing = 1, .sequence = 4000000000};
    struct log_state read;
    struct text text = {0};
    memset(told.head, 'a', sizeof told.head - 1);
    histogram_add(&told.syncs, 1);
    histogram_add(&told.syncs, 2000000);
    histogram_add(&told.syncs, INT64_MAX / 2);
    for (told.sink_count = 0; told.sink_count < LOG_STATE_SINKS; told.sink_count++) {
        struct log_sink *s = &told.sinks[told.sink_count];
        *s = (struct log_sink){
            .written = told.sink_count, .waiting = 2 * told.sink_count, .dropped = 7};
        snprintf(s->name, sizeof s->name, "a name with \"blanks\" %zu", told.sink_count);
    }
    log_state_put(&told, &text);
    log_state_read(text_string(&text), &read);
    assert_int_equal(read.written, 5);
    assert_int_equal(read.waiting, 6);
    assert_int_equal(read.failing, 1);
    assert_int_equal(read.sequence, 4000000000);
    assert_string_equal(read.head, told.head);
    assert_memory_equal(&read.syncs, &told.syncs, sizeof read.syncs);
    assert_int_equal(read.sink_count, LOG_STATE_SINKS);
    for (size_t i = 0; i < read.sink_count; i++) {
        assert_string_equal(read.sinks[i].name, told.sinks[i].name);
        assert_int_equal(read.sinks[i].written, i);
        assert_int_equal(read.sinks[i].waiting, 2 * i);
        assert_int_equal(read.sinks[i].dropped, 7);
    }
    text_fini(&text);
}

static void nonsense(void **state)
{
    static const char *const texts[] = {
        "",
        "\n\n",
        "written",
        "written x\n",
        "head short\n",
        "head <script>aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n",
        "syncs 13 5\nsyncs 99999999999999999999 5\nsyncs -1 5\n",
        "sink\nsink \nsink 1\nsink 1 2 3\n",
        "unknown 5\n written 5\n",
    };
    struct log_state read;
    (void)state;
    for (size_t i = 0; i < N_OF(texts); i++) {
        log_state_read(texts[i], &read);
        assert_int_equal(read.written, 0);
        assert_string_equal(read.head, "");
        for (size_t k = 0; k <= HISTOGRAM_CLASSES; k++) assert_int_equal(read.syncs.classes[k], 0);
    }
    struct text many = {0};
    for (int i = 0; i < 1000; i++) text_printf(&many, "sink %d 0 0 %0300d\n", i, i);
    log_state_read(text_string(&many), &read);
    assert_int_equal(read.sink_count, LOG_STATE_SINKS);
    for (size_t i = 0; i < LOG_STATE_SINKS; i++)
        assert_in_range(strlen(read.sinks[i].name), 0, LOG_STATE_NAME - 1);
    text_fini(&many);
}

static void keeper_state(void **state)
{
    const struct keeper_state told = {1, 2, 3, 4, 5, 6};
    struct keeper_state read;
    struct text text = {0};
    (void)state;
    keeper_state_put(&told, &text);
    keeper_state_read(text_string(&text), &read);
    assert_memory_equal(&read, &told, sizeof read);
    keeper_state_read("nonsense", &read);
    assert_int_equal(read.started, 0);
    text_fini(&text);
}

static void classes(void **state)
{
    (void)state;
    for (size_t i = 0; i < HISTOGRAM_CLASSES; i++) {
        struct histogram h = {0};
        histogram_add(&h, histogram_class_ns[i]);
        histogram_add(&h, histogram_class_ns[i] + 1);
        assert_int_equal(h.classes[i], 1);
        assert_int_equal(h.classes[i + 1], 1);
        assert_int_equal(h.sum_ns, 2 * histogram_class_ns[i] + 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(log_state),
        cmocka_unit_test(nonsense),
        cmocka_unit_test(keeper_state),
        cmocka_unit_test(classes),
    };
    return cmocka_run_group_tests_name("states", tests, NULL, NULL);
}
