#include "page/pac.h"

#include <inttypes.h>
#include <string.h>

/* The patterns' characters are those of names and addresses: none ends a JavaScript string. */
static void put_host(const struct pattern *p, struct text *out)
{
    char ip[ADDR_TEXT_SIZE];
    if (p->any) {
        text_add(out, "true");
    } else if (p->wildcard) {
        text_printf(out, "below(host, \"%s\")", p->host);
    } else if (p->host[0]) {
        text_printf(out, "host == \"%s\"", p->host);
    } else {
        struct addr base = addr_from_bytes(p->range.bytes, p->range.family_size, 0);
        addr_format_ip(&base, ip);
        text_printf(out, "within(host, \"%s\", %u)", ip, p->range.bits);
    }
}

static void put_ports(const struct pattern *p, struct text *out)
{
    if (p->port_count == 0) return;
    text_add(out, " && (");
    for (size_t i = 0; i < p->port_count; i++)
        text_printf(out, "%sport >= %u && port <= %u", i ? " || " : "", p->ports[i].from,
                    p->ports[i].to);
    text_add(out, ")");
}

/* Old engines read it too, so it is in the JavaScript of their time. Addresses are compared as
 * numbers: isInNet() would ask the name service for a name. words() has two numbers for IPv4, also
 * if it is mapped to IPv6, and eight for IPv6. */
static const char functions[] =
    "function below(host, name) {\n"
    "  var end = \".\" + name;\n"
    "  return host.length > end.length && host.substring(host.length - end.length) == end;\n"
    "}\n"
    "function hex(high, low) {\n"
    "  return (high * 256 + low * 1).toString(16);\n"
    "}\n"
    "function words(address) {\n"
    "  var i, halves, left, right, out = [];\n"
    "  var v4 = /^(.*:)?([0-9]+)\\.([0-9]+)\\.([0-9]+)\\.([0-9]+)$/.exec(address);\n"
    "  if (v4) address = (v4[1] || \"::ffff:\") + hex(v4[2], v4[3]) + \":\" + hex(v4[4], v4[5]);\n"
    "  if (!/^[0-9a-f]*:[0-9a-f:]*$/.test(address)) return null;\n"
    "  halves = address.split(\"::\");\n"
    "  left = halves[0] ? halves[0].split(\":\") : [];\n"
    "  right = halves.length > 1 && halves[1] ? halves[1].split(\":\") : [];\n"
    "  for (i = 0; i < left.length; i++) out.push(parseInt(left[i], 16));\n"
    "  while (halves.length > 1 && out.length + right.length < 8) out.push(0);\n"
    "  for (i = 0; i < right.length; i++) out.push(parseInt(right[i], 16));\n"
    "  if (out.length != 8) return null;\n"
    "  for (i = 0; i < 5 && out[i] == 0; i++);\n"
    "  return i == 5 && out[5] == 65535 ? out.slice(6) : out;\n"
    "}\n"
    "function within(host, base, bits) {\n"
    "  var a = words(host), b = words(base);\n"
    "  if (!a || a.length != b.length) return false;\n"
    "  for (var i = 0; i < a.length; i++) {\n"
    "    var n = Math.min(Math.max(bits - 16 * i, 0), 16);\n"
    "    if (a[i] >> (16 - n) != b[i] >> (16 - n)) return false;\n"
    "  }\n"
    "  return true;\n"
    "}\n"
    "function FindProxyForURL(url, host) {\n"
    "  var found = "
    "/^(https|wss):\\/\\/([^\\/?#]*@)?(\\[[^\\]]*\\]|[^:\\/?#]*)(:([0-9]*))?/i.exec(url);\n"
    "  if (!found) return \"DIRECT\";\n"
    "  var port = found[5] ? parseInt(found[5], 10) : 443;\n"
    "  host = host.toLowerCase().replace(/^\\[|\\]$/g, \"\").replace(/\\.$/, \"\");\n"
    "  if (host == \"localhost\" || below(host, \"localhost\") || within(host, \"127.0.0.0\", 8) "
    "||\n"
    "      within(host, \"::1\", 128)) return \"DIRECT\";\n";

void pac_render(const char *const *proxies, size_t proxy_count, const struct pattern *only,
                size_t n, struct text *out)
{
    text_add(out, functions);
    text_add(out, "  var proxied = ");
    for (size_t i = 0; i < n; i++) {
        text_add(out, i ? " ||\n      (" : "(");
        put_host(&only[i], out);
        put_ports(&only[i], out);
        text_add(out, ")");
    }
    text_add(out, n ? ";\n" : "true;\n");
    text_add(out, "  return proxied ? \"");
    for (size_t i = 0; i < proxy_count; i++)
        text_printf(out, "%sPROXY %s", i ? "; " : "", proxies[i]);
    text_add(out, proxy_count ? "\" : \"DIRECT\";\n}\n" : "DIRECT\" : \"DIRECT\";\n}\n");
}
