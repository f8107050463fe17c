// One HTTPS GET through CONNECT, as Node programs do it.
// node get.js PROXY_PORT HOST:PORT PATH h1|h2: prints the body; exit 3 when TLS fails.
// The CA comes by NODE_EXTRA_CA_CERTS, as an administrator would set it.
'use strict';
const http = require('node:http');
const http2 = require('node:http2');
const https = require('node:https');
const tls = require('node:tls');

const [proxyPort, authority, path, protocol] = process.argv.slice(2);
const host = new URL(`https://${authority}`).hostname.replace(/[[\]]/g, '');

function fail(error) {
  console.error(error.code, error.message);
  process.exit(3);
}

function overHttp1(socket) {
  const request = https.get({ createConnection: () => socket, host: authority, path });
  request.on('error', fail);
  request.on('response', (response) => response.pipe(process.stdout));
}

function overHttp2(socket) {
  const session = http2.connect(`https://${authority}`, { createConnection: () => socket });
  session.on('error', fail);
  const stream = session.request({ ':path': path });
  stream.pipe(process.stdout, { end: false });
  stream.on('end', () => session.close());
}

const connect = http.request({
  host: '127.0.0.1', port: proxyPort, method: 'CONNECT', path: authority,
});
connect.on('error', fail);
connect.on('connect', (response, socket) => {
  if (response.statusCode !== 200) {
    console.error(response.statusCode);
    process.exit(4);
  }
  const secure = tls.connect({
    socket, host,
    servername: /:|^[\d.]+$/.test(host) ? undefined : host, // SNI is for names only
    ALPNProtocols: [protocol === 'h2' ? 'h2' : 'http/1.1'],
  });
  secure.on('error', fail);
  secure.on('secureConnect', () => {
    console.error(secure.getCipher().standardName, secure.alpnProtocol);
    (protocol === 'h2' ? overHttp2 : overHttp1)(secure);
  });
});
connect.end();
