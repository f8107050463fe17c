/* What the keeper and a proxy tell each other over their post (base/post.h): a kind and its fields.
 * Nobody waits for an answer. */
#ifndef SERVE_PROXY_ORDER_H
#define SERVE_PROXY_ORDER_H

/* Keeper to proxy. A socket is a listening one, for the next load, that of [operate] as one more
 * listener's; a proxy that has got all of them
 * loads the configuration, says so, and serves it when it is told to use it. */
#define ORDER_SOCKET "socket" /* listener, worker; with the socket */
#define ORDER_SIGNER \
    "signer" /* worker; with its socket (runtime/signer.h). Before the first load */
#define ORDER_LOAD                                                                \
    "load" /* the configuration's path, serial; with a snapshot (base/snapshot.h) \
            */
#define ORDER_USE "use"
#define ORDER_NAMES "names" /* with what the system says of names (net/names.h) */
#define ORDER_STATE "state" /* of the keeper, of the clerk: texts (serve/lookout.h) */
#define ORDER_SHOW "show"   /* json or text; with a pipe for the status (serve/operate_server.h) */
#define ORDER_FORGET "forget" /* what was loaded */
#define ORDER_CLERK "clerk"   /* channel; with a recorder's socket */
/* Accept no more, end with the last connection. Listeners whose queues are others'. */
#define ORDER_DRAIN "drain"
#define ORDER_CLOSE "close" /* and end all */

/* Proxy to keeper. */
#define NEWS_LOADED "loaded"
#define NEWS_REFUSED "refused" /* faults: sentences */
#define NEWS_MISSED "missed"   /* channel: its socket is closed, or did not arrive */
#define NEWS_USED "used"       /* by all workers */
#define NEWS_DRAINED "drained" /* no worker accepts any more */
#define NEWS_ENDED "ended"     /* connections without a byte, records lost; then it exits */

#endif
