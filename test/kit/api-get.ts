import { readFileSync } from 'node:fs';
import { get } from 'node:https';
import { parseKubeconfig } from '#api/client/kubeconfig.ts';

/** `node api-get.ts <kubeconfig> <path>`: prints status code and body. For where kubectl cannot go: into another time. */
const [kubeconfig = '', path = '/'] = process.argv.slice(2);
const { server, ca, cert, key } = parseKubeconfig(readFileSync(kubeconfig, 'utf8'));
const request = get(new URL(path, server), { ca, cert, key, agent: false }, (response) => {
  let body = '';
  response.on('data', (chunk) => (body += chunk));
  response.on('end', () => process.stdout.write(`${response.statusCode} ${body}`));
});
request.on('error', (err) => {
  process.stderr.write(`${err.message}\n`);
  process.exitCode = 1;
});
