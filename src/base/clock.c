#include "base/clock.h"

int64_t clock_steady_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static char *put_digits(char *out, unsigned v, int n, char behind)
{
    for (int i = n; i-- > 0; v /= 10) out[i] = (char)('0' + v % 10);
    out[n] = behind;
    return out + n + 1;
}

/* Writes the seconds, then `behind`; NULL when the year does not have four digits. Every record has
 * several of these: strftime() and printf() would be a third of its cost. */
static char *put_seconds(time_t t, char behind, char *out)
{
    struct tm tm;
    if (!gmtime_r(&t, &tm) || tm.tm_year < -1900 || tm.tm_year > 9999 - 1900) return NULL;
    out = put_digits(out, (unsigned)tm.tm_year + 1900, 4, '-');
    out = put_digits(out, (unsigned)tm.tm_mon + 1, 2, '-');
    out = put_digits(out, (unsigned)tm.tm_mday, 2, 'T');
    out = put_digits(out, (unsigned)tm.tm_hour, 2, ':');
    out = put_digits(out, (unsigned)tm.tm_min, 2, ':');
    return put_digits(out, (unsigned)tm.tm_sec, 2, behind);
}

void clock_format(struct timespec t, char out[CLOCK_TEXT_SIZE])
{
    char *end = put_seconds(t.tv_sec, '.', out);
    if (end) end = put_digits(end, (unsigned)(t.tv_nsec / 1000000) % 1000, 3, 'Z');
    *(end ? end : out) = '\0';
}

void clock_format_seconds(time_t t, char out[CLOCK_TEXT_SIZE])
{
    char *end = put_seconds(t, 'Z', out);
    *(end ? end : out) = '\0';
}

/* A number of n digits, at most max. */
static bool read_number(const char **s, int n, int max, int *out)
{
    *out = 0;
    for (int i = 0; i < n; i++, ++*s) {
        if (**s < '0' || **s > '9') return false;
        *out = *out * 10 + (**s - '0');
    }
    return *out <= max;
}

static bool skip(const char **s, char c)
{
    if (**s != c) return false;
    ++*s;
    return true;
}

static bool read_fraction(const char **s, long *ns)
{
    long unit = 100000000;
    if (**s < '0' || **s > '9') return false;
    for (; **s >= '0' && **s <= '9'; ++*s, unit /= 10) *ns += (**s - '0') * unit;
    return true;
}

static bool read_time(const char **s, struct tm *tm, long *ns)
{
    if (!skip(s, 'T') && !skip(s, ' ')) return true;
    if (!read_number(s, 2, 23, &tm->tm_hour) || !skip(s, ':') ||
        !read_number(s, 2, 59, &tm->tm_min))
        return false;
    if (!skip(s, ':')) return true;
    if (!read_number(s, 2, 60, &tm->tm_sec)) return false;
    return !skip(s, '.') || read_fraction(s, ns);
}

bool clock_parse(const char *s, struct timespec *out)
{
    struct tm tm = {0};
    long ns = 0;
    if (!read_number(&s, 4, 9999, &tm.tm_year) || !skip(&s, '-') ||
        !read_number(&s, 2, 12, &tm.tm_mon) || !skip(&s, '-') ||
        !read_number(&s, 2, 31, &tm.tm_mday) || !read_time(&s, &tm, &ns))
        return false;
    skip(&s, 'Z');
    if (*s != '\0' || tm.tm_mon == 0 || tm.tm_mday == 0) return false;
    tm.tm_year -= 1900;
    tm.tm_mon--;
    *out = (struct timespec){timegm(&tm), ns};
    return true;
}
