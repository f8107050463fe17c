#include "base/post.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

union with_descriptor {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
};

bool post_pair(int ends[2])
{
    enum { ROOM = 2 * POST_LIMIT };
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) return false;
    int room = ROOM;
    for (int i = 0; i < 2; i++)
        (void)!setsockopt(ends[i], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    post_set_wait(ends[0], POST_WAIT_S);
    return true;
}

void post_set_wait(int end, int seconds)
{
    const struct timeval wait = {.tv_sec = seconds};
    (void)!setsockopt(end, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    (void)!setsockopt(end, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
}

bool post_send(int end, const struct text *message, int fd)
{
    union with_descriptor control;
    struct iovec part = {message->data, message->size};
    struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1};
    if (message->failed || message->size == 0 || message->size > POST_LIMIT) {
        errno = message->failed ? ENOMEM : EMSGSIZE;
        return false;
    }
    if (fd >= 0) {
        memset(&control, 0, sizeof control);
        m.msg_control = control.bytes;
        m.msg_controllen = sizeof control.bytes;
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof fd);
        memcpy(CMSG_DATA(c), &fd, sizeof fd);
    }
    ssize_t n;
    do n = sendmsg(end, &m, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)message->size;
}

/* The first one; others, for which there may be room, are closed. */
static int descriptor_of(struct msghdr *m)
{
    int first = -1;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
            if (first < 0)
                first = fd;
            else
                close(fd);
        }
    }
    return first;
}

bool post_receive(int end, struct text *message, int *fd)
{
    union with_descriptor control;
    message->size = 0;
    char *room = text_extend(message, POST_LIMIT);
    struct iovec part = {room, POST_LIMIT};
    struct msghdr m = {.msg_iov = &part,
                       .msg_iovlen = 1,
                       .msg_control = fd ? control.bytes : NULL,
                       .msg_controllen = fd ? sizeof control.bytes : 0};
    if (fd) *fd = -1;
    if (!room) {
        errno = ENOMEM;
        return false;
    }
    ssize_t n;
    do n = recvmsg(end, &m, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    message->size = n > 0 ? (size_t)n : 0;
    message->data[message->size] = '\0';
    if (n > 0 && fd) *fd = descriptor_of(&m);
    if (n > 0 && !(m.msg_flags & (MSG_TRUNC))) return true;
    if (fd && *fd >= 0) close(*fd);
    if (fd) *fd = -1;
    if (n >= 0) errno = n == 0 ? 0 : EMSGSIZE;
    return false;
}

void post_put(struct text *message, const char *field)
{
    text_add_bytes(message, field, strlen(field) + 1);
}

const char *post_next(const struct text *message, size_t *at)
{
    if (*at >= message->size) return NULL;
    const char *field = message->data + *at;
    size_t n = strnlen(field, message->size - *at);
    if (n == message->size - *at) return NULL; /* no NUL */
    *at += n + 1;
    return field;
}
