/* Messages of an upgrade over its post (base/post.h): a word, and its fields. */
#ifndef SERVE_UPGRADE_ORDER_H
#define SERVE_UPGRADE_ORDER_H

/* The next keeper's, in this order. */
#define NEXT_CHECKED "checked"
#define NEXT_RECORDING "recording"
#define NEXT_SERVING "serving" /* its version */
#define NEXT_REFUSED "refused" /* instead of any of these: why, sentences */

/* The former one's, after `checked`. */
#define FORMER_GO "go"

#endif
