// What a proxy auto-config file says, without the helpers that browsers add: the file needs none.
// node pac.js <CASES: [{pac, questions: [[url, host or null], ...]}, ...], prints [[answer, ...], ...].
// With null the URL is first made canonical and the host taken from it, as browsers do.
'use strict';
const fs = require('node:fs');
const vm = require('node:vm');

function ask(context, [text, host]) {
  let url = text;
  if (host === null) {
    const parsed = new URL(text);
    url = parsed.href;
    host = parsed.hostname.replace(/^\[|\]$/g, '');
  }
  context.url = url;
  context.host = host;
  return vm.runInContext('FindProxyForURL(url, host)', context);
}

const answers = JSON.parse(fs.readFileSync(0, 'utf8')).map(({ pac, questions }) => {
  const context = vm.createContext(Object.create(null));
  vm.runInContext(pac, context);
  return questions.map((question) => ask(context, question));
});
process.stdout.write(JSON.stringify(answers));
