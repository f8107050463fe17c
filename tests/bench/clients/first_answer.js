// node first_answer.js URL COUNT: milliseconds from before each new connection to its answer.
'use strict';
require('node:dns').setDefaultResultOrder('ipv4first'); // where localhost is both
const https = require('node:https');

const [url, count] = process.argv.slice(2);
const agent = new https.Agent({ keepAlive: false });

function ask(left) {
  if (left === 0) return;
  const before = process.hrtime.bigint();
  https.get(url, { agent }, (response) => {
    console.log(Number(process.hrtime.bigint() - before) / 1e6);
    response.resume();
    response.on('close', () => ask(left - 1));
  });
}

ask(Number(count));
