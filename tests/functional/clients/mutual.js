// One HTTPS GET with a client certificate, if one is given.
// node mutual.js direct|connect PORT HOST:PORT PATH [CHAIN KEY]: connects to 127.0.0.1:PORT, which
// is the server or an HTTP proxy; prints the body; exit 3 when TLS fails.
// The CA comes by NODE_EXTRA_CA_CERTS, as an administrator would set it.
'use strict';
const fs = require('node:fs');
const http = require('node:http');
const https = require('node:https');
const tls = require('node:tls');

const [how, port, authority, path, chain, key] = process.argv.slice(2);
const host = authority.split(':')[0];
const own = chain ? { cert: fs.readFileSync(chain), key: fs.readFileSync(key) } : {};

function fail(error) {
  console.error(error.code, error.message);
  process.exit(3);
}

function get(options) {
  https.get({ host, servername: host, path, ...options }, (response) =>
    response.pipe(process.stdout)).on('error', fail);
}

if (how === 'direct') {
  get({ host: '127.0.0.1', port, headers: { host: authority }, ...own });
} else {
  const request = http.request({ host: '127.0.0.1', port, method: 'CONNECT', path: authority });
  request.on('error', fail);
  request.on('connect', (response, socket) => get({
    createConnection: () => tls.connect({ socket, servername: host, ...own }).on('error', fail),
  }));
  request.end();
}
