/* Messages over the control socket (serve/control.h), as base/post.h has them: a word, and its
 * fields. */
#ifndef SERVE_CONTROL_ORDER_H
#define SERVE_CONTROL_ORDER_H

/* To the keeper. */
#define CONTROL_UPGRADE "upgrade"
#define CONTROL_RELOAD "reload"
#define CONTROL_STOP "stop"     /* answered at once; then the process ends */
#define CONTROL_STATUS "status" /* json or text; with a pipe for it: answered at once */
#define CONTROL_FOLLOW "follow" /* of a former keeper, which stays connected */

/* Its answers. */
#define CONTROL_DONE "done"       /* text; for FOLLOW with a post to the clerk */
#define CONTROL_REFUSED "refused" /* why: sentences */

/* To a former keeper: close your connections. */
#define CONTROL_CLOSE "close"

#endif
