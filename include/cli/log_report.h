/* The report as JSON, and as a page: one self-contained HTML file without scripts or anything from
 * a network. Text from peers is escaped. */
#ifndef CLI_LOG_REPORT_H
#define CLI_LOG_REPORT_H

#include "base/text.h"
#include "ledger/report.h"

void log_report_json(struct text *out, const struct report *r);
void log_report_html(struct text *out, struct report *r);

#endif
