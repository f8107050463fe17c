#include "sink.h"

#include "audit/logfile.h"
#include "base/clock.h"
#include "shorten.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* local0; the severities of RFC 5424 section 6.2.1. */
enum { FACILITY = 16 };
static const int severities[] = {[AUDIT_ERROR] = 3, [AUDIT_WARNING] = 4, [AUDIT_INFO] = 6};
enum { HOST_SIZE = 256, CONNECT_MS = 5000, SEND_BUFFER = 1 << 20 };

bool sink_init(struct sink *s, const char *name, bool is_syslog)
{
    *s = (struct sink){.is_syslog = is_syslog, .fd = -1};
    s->name = text_copy(name, strlen(name));
    return s->name && (!is_syslog || syslog_address_from_text(name, &s->address));
}

void sink_close(struct sink *s)
{
    if (s->fd >= 0) close(s->fd);
    s->fd = -1;
    s->sent = 0;
}

void sink_fini(struct sink *s)
{
    sink_close(s);
    text_fini(&s->text);
    free(s->name);
}

/* ---- frames ---- */

/* RFC 5424 section 6: the record is the message, its own time the timestamp. */
static void render_message(const struct line *line, bool shortened, struct text *out)
{
    char time[CLOCK_TEXT_SIZE], host[HOST_SIZE] = "";
    const char *p = text_string(&line->text);
    clock_format(line->stamp.at, time);
    gethostname(host, sizeof host - 1);
    for (char *c = host; *c; c++)
        if (*c <= ' ' || *c > '~') *c = '?';
    text_printf(out, "<%d>1 %s %s suitegate %ld %s - ",
                FACILITY * 8 + severities[line->stamp.level], time, host[0] ? host : "-",
                (long)getpid(), audit_action_name(line->stamp.action));
    size_t n = line->text.size - 1; /* without its line end */
    if (!shortened)
        text_add_bytes(out, p, n);
    else if (!shorten_line(p, n, out))
        out->failed = true;
}

static bool render(struct sink *s, const struct line *line, bool shortened)
{
    struct text message = {0};
    s->text.size = 0;
    if (s->is_syslog) {
        render_message(line, shortened, &message);
        if (message.failed) {
            text_fini(&message);
            text_fini(&s->text);
            return false;
        }
        if (s->address.transport == SYSLOG_TCP) text_printf(&s->text, "%zu ", message.size);
        text_add_bytes(&s->text, text_string(&message), message.size);
    } else {
        text_add_bytes(&s->text, text_string(&line->text), line->text.size);
    }
    bool ok = !s->text.failed;
    text_fini(&message);
    if (!ok) text_fini(&s->text);
    return ok;
}

/* ---- opening ---- */

static int open_unix(const struct syslog_address *a)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    memcpy(to.sun_path, a->path, sizeof to.sun_path);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), size = SEND_BUFFER;
    if (fd < 0) return -1;
    /* For long records in one datagram; the system may give less. */
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0) return fd;
    int fault = errno;
    close(fd);
    errno = fault;
    return -1;
}

static bool finish_connecting(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    int fault = 0;
    socklen_t size = sizeof fault;
    if (errno != EINPROGRESS) return false;
    if (poll(&p, 1, CONNECT_MS) <= 0)
        fault = ETIMEDOUT;
    else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &fault, &size) < 0)
        fault = errno;
    errno = fault;
    return fault == 0;
}

static int open_address(const struct addrinfo *a)
{
    int fd = socket(a->ai_family, a->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    if (connect(fd, a->ai_addr, a->ai_addrlen) == 0 || finish_connecting(fd)) return fd;
    int fault = errno;
    close(fd);
    errno = fault;
    return -1;
}

static int open_network(const struct syslog_address *a)
{
    char port[8];
    struct addrinfo *all = NULL,
                    hints = {.ai_socktype = a->transport == SYSLOG_UDP ? SOCK_DGRAM : SOCK_STREAM,
                             .ai_flags = AI_NUMERICSERV};
    int fd = -1;
    snprintf(port, sizeof port, "%u", a->target.port);
    errno = EHOSTUNREACH;
    if (getaddrinfo(a->target.host, port, &hints, &all) != 0) return -1;
    for (struct addrinfo *one = all; one && fd < 0; one = one->ai_next) fd = open_address(one);
    int fault = errno;
    freeaddrinfo(all);
    errno = fault;
    return fd;
}

static bool open_sink(struct sink *s)
{
    struct text errors = {0};
    s->sent = 0;
    if (!s->is_syslog)
        s->fd = logfile_open_again(s->name, &errors);
    else
        s->fd = s->address.transport == SYSLOG_UNIX ? open_unix(&s->address)
                                                    : open_network(&s->address);
    int fault = errno;
    text_fini(&errors);
    errno = fault;
    return s->fd >= 0;
}

/* ---- writing ---- */

/* A send to a daemon that has closed its end would succeed once and lose the message. */
static bool peer_is_gone(const struct sink *s)
{
    char c;
    if (!s->is_syslog || s->address.transport != SYSLOG_TCP || s->sent > 0) return false;
    ssize_t n = recv(s->fd, &c, 1, MSG_DONTWAIT | MSG_PEEK);
    return n == 0 || (n < 0 && errno != EAGAIN);
}

static enum sink_result write_some(struct sink *s)
{
    const char *p = s->text.data + s->sent;
    size_t left = s->text.size - s->sent;
    /* Standard output may be a socket that blocks. */
    ssize_t n = send(s->fd, p, left, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno == ENOTSOCK) n = write(s->fd, p, left);
    if (n >= 0) {
        s->sent += (size_t)n;
        return s->sent == s->text.size ? SINK_DONE : SINK_LATER;
    }
    if (errno == EMSGSIZE) return SINK_IMPOSSIBLE;
    if (errno != EAGAIN && errno != EINTR && errno != ENOBUFS) return SINK_BROKEN;
    struct pollfd p1 = {.fd = s->fd, .events = POLLOUT};
    poll(&p1, 1, SINK_WAIT_MS);
    return SINK_LATER;
}

static enum sink_result write_all(struct sink *s)
{
    enum sink_result result;
    size_t before;
    do {
        before = s->sent;
        result = write_some(s);
    } while (result == SINK_LATER && s->sent > before);
    return result;
}

enum sink_result sink_write(struct sink *s, const struct line *line)
{
    bool fresh = s->fd < 0;
    if (s->fd >= 0 && peer_is_gone(s)) sink_close(s);
    if (s->fd < 0 && !open_sink(s)) return SINK_BROKEN;
    if (s->sent == 0 && !render(s, line, false)) {
        errno = ENOMEM;
        return SINK_BROKEN;
    }
    enum sink_result result = write_all(s);
    /* Only a datagram can be too large, and none of it was sent. */
    if (result == SINK_IMPOSSIBLE && render(s, line, true)) result = write_all(s);
    if (result != SINK_LATER && result != SINK_BROKEN) s->sent = 0;
    if (result != SINK_BROKEN) return result;
    /* A full disk: the line continues where it stopped. */
    if (!s->is_syslog && s->sent > 0) return result;
    int fault = errno;
    sink_close(s);
    errno = fault;
    /* A datagram socket reports a missing receiver only at the next message, and a restarted daemon
     * is back at once. */
    return fresh ? SINK_BROKEN : sink_write(s, line);
}
