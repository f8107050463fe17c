// Node's own HTTPS server; it answers "page". node page.js PORT CERTIFICATE KEY
'use strict';
const fs = require('node:fs');
const https = require('node:https');

const [port, cert, key] = process.argv.slice(2);
https.createServer({ cert: fs.readFileSync(cert), key: fs.readFileSync(key) },
  (request, response) => response.end('page\n')).listen(Number(port), '127.0.0.1');
