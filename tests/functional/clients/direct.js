// HTTPS GETs without a proxy, as Node programs do them.
// node direct.js https|fetch|h2 URL: prints the body; exit 3 when the request fails.
// The CA comes by NODE_EXTRA_CA_CERTS, as an administrator would set it.
'use strict';
require('node:dns').setDefaultResultOrder('ipv4first'); // where localhost is both
const http2 = require('node:http2');
const https = require('node:https');

const [how, url] = process.argv.slice(2);

function fail(error) {
  console.error(error.code || (error.cause && error.cause.code), error.message);
  process.exit(3);
}

if (how === 'https') {
  const agent = new https.Agent({ keepAlive: true }); // the default since Node 19
  https.get(url, { agent }, (response) => response.pipe(process.stdout)).on('error', fail);
} else if (how === 'fetch') {
  fetch(url).then((r) => r.text()).then((t) => process.stdout.write(t)).catch(fail);
} else {
  const session = http2.connect(url);
  session.on('error', fail);
  const stream = session.request({ ':path': '/json' });
  stream.on('error', fail);
  stream.pipe(process.stdout, { end: false });
  stream.on('end', () => session.close());
}
