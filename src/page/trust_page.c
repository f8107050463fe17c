#include "page/trust_page.h"

#include "page/html.h"

#include <stdio.h>
#include <string.h>

/* What to do on one platform. %SITE% is this listener, %PROXY% the first proxy, which is %HOST% and
 * %PORT%. */
struct platform {
    const char *name, *words, *commands;
};

static const struct platform trusting[] = {
    {"Windows",
     "In a command window of an administrator. In a domain, a group policy does it for all "
     "(Trusted Root Certification Authorities).",
     "curl -o %TEMP%\\suitegate.crt %SITE%/ca.crt\ncertutil -addstore -f Root "
     "%TEMP%\\suitegate.crt"},
    {"macOS", "",
     "curl -o /tmp/suitegate.pem %SITE%/ca.pem\n"
     "sudo security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain "
     "/tmp/suitegate.pem"},
    {"Debian, Ubuntu", "",
     "sudo curl -o /usr/local/share/ca-certificates/suitegate.crt %SITE%/ca.pem\n"
     "sudo update-ca-certificates"},
    {"Red Hat, Fedora", "",
     "sudo curl -o /etc/pki/ca-trust/source/anchors/suitegate.pem %SITE%/ca.pem\n"
     "sudo update-ca-trust"},
    {"Firefox",
     "It has its own store: Settings, Privacy & Security, Certificates, View Certificates, "
     "Authorities, Import; or security.enterprise_roots.enabled in about:config, to use "
     "the system's.",
     ""},
    {"iPhone, iPad",
     "Open ca.crt above in Safari and install the profile; then Settings, General, "
     "About, Certificate Trust Settings.",
     ""},
    {"Android",
     "Download ca.crt; then Settings, Security, Encryption & credentials, Install a "
     "certificate, CA certificate.",
     ""},
    {"Java", "The JDK's own store; its first password is changeit.",
     "curl -o suitegate.pem %SITE%/ca.pem\n"
     "keytool -importcert -cacerts -noprompt -storepass changeit -alias suitegate -file "
     "suitegate.pem"},
    {"Node.js", "", "NODE_EXTRA_CA_CERTS=/path/to/suitegate.pem"},
    {"Python", "requests reads REQUESTS_CA_BUNDLE; the file then has to have all CAs.",
     "SSL_CERT_FILE=/path/to/bundle.pem"},
    {"curl", "", "curl --cacert suitegate.pem https://..."},
};

static const struct platform proxying[] = {
    {"Windows",
     "Settings, Network & internet, Proxy: the setup script is %SITE%/proxy.pac. Services use "
     "WinHTTP:",
     "netsh winhttp set proxy proxy-server=\"https=%PROXY%\""},
    {"macOS, phones",
     "In the network's settings: automatic proxy configuration, with the address "
     "%SITE%/proxy.pac.",
     ""},
    {"Firefox", "Settings, Network Settings, Automatic proxy configuration URL: %SITE%/proxy.pac.",
     ""},
    {"Programs on Linux", "", "export https_proxy=http://%PROXY%"},
    {"Java", "", "-Dhttps.proxyHost=%HOST% -Dhttps.proxyPort=%PORT%"},
    {".NET, plug-in hosts",
     "In the program's configuration file: system.net, defaultProxy, with "
     "scriptLocation %SITE%/proxy.pac.",
     ""},
};

/* The first proxy, cut in two. */
struct values {
    const char *site, *proxy;
    char host[128], port[8];
};

static struct values values_of(const struct trust_page *page)
{
    struct values v = {.site = page->site, .proxy = page->proxy_count ? page->proxies[0] : ""};
    const char *colon = strrchr(v.proxy, ':');
    if (!colon) return v;
    snprintf(v.host, sizeof v.host, "%.*s", (int)(colon - v.proxy), v.proxy);
    snprintf(v.port, sizeof v.port, "%s", colon + 1);
    return v;
}

static void put_words(const char *words, const struct values *v, struct text *out)
{
    const struct {
        const char *name, *value;
    } places[] = {
        {"%SITE%", v->site}, {"%PROXY%", v->proxy}, {"%HOST%", v->host}, {"%PORT%", v->port}};
    struct text whole = {0};
    while (*words) {
        size_t n = strcspn(words, "%");
        text_add_bytes(&whole, words, n);
        words += n;
        const char *value = NULL;
        for (size_t i = 0; i < sizeof places / sizeof *places && !value; i++) {
            n = strlen(places[i].name);
            if (strncmp(words, places[i].name, n) == 0) value = places[i].value;
        }
        if (!value && *words) n = 1;
        if (value)
            text_add(&whole, value);
        else if (*words)
            text_add_bytes(&whole, words, 1);
        if (*words) words += n;
    }
    text_add_html(out, text_string(&whole));
    text_fini(&whole);
}

static void put_platforms(const struct platform *list, size_t n, const struct values *v,
                          struct text *out)
{
    for (size_t i = 0; i < n; i++) {
        text_add(out, "<h3>");
        text_add_html(out, list[i].name);
        text_add(out, "</h3>\n");
        if (list[i].words[0]) {
            text_add(out, "<p>");
            put_words(list[i].words, v, out);
            text_add(out, "</p>\n");
        }
        if (list[i].commands[0]) {
            text_add(out, "<pre>");
            put_words(list[i].commands, v, out);
            text_add(out, "</pre>\n");
        }
    }
}

static void put_files(struct text *out)
{
    text_add(out,
             "<h2>Files</h2>\n<ul>\n"
             "<li><a href=\"/ca.crt\">ca.crt</a>: the certificate, DER (Windows, phones)</li>\n"
             "<li><a href=\"/ca.pem\">ca.pem</a>: the same, PEM (everything else)</li>\n"
             "<li><a href=\"/ca.crl\">ca.crl</a>: its revocation list</li>\n"
             "<li><a href=\"/proxy.pac\">proxy.pac</a>: tells browsers what goes through the "
             "proxy</li>\n</ul>\n");
}

void trust_page_render(const struct trust_page *page, struct text *out)
{
    const struct values v = values_of(page);
    html_begin(out, "Using this network's TLS proxy");
    text_add(out, "<p>The proxy lets only TLS 1.2 with approved cipher suites through. To your "
                  "programs it shows certificates of its own CA, which they have to trust.</p>\n"
                  "<p><strong>First compare the fingerprint of the file</strong> that you download "
                  "with the one that your administrator gives you, not with this page: both come "
                  "over plain HTTP. It is the SHA-256 of ca.crt: certutil -hashfile ca.crt SHA256 "
                  "on Windows, openssl dgst -sha256 ca.crt elsewhere. The administrator sees it "
                  "with suitegate ca show.</p>\n<dl>\n");
    html_term(out, "SHA-256 fingerprint", page->fingerprint);
    html_term(out, "CA", page->subject);
    html_term(out, "Expires", page->expires);
    for (size_t i = 0; i < page->proxy_count; i++) html_term(out, "Proxy", page->proxies[i]);
    text_add(out, "</dl>\n");
    put_files(out);
    text_add(out, "<h2>Trust the CA</h2>\n");
    put_platforms(trusting, sizeof trusting / sizeof *trusting, &v, out);
    if (page->proxy_count > 0) {
        text_add(out, "<h2>Use the proxy</h2>\n");
        put_platforms(proxying, sizeof proxying / sizeof *proxying, &v, out);
    }
    html_end(out);
}
