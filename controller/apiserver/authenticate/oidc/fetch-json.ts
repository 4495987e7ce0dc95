import { get } from 'node:https';
import type { FetchJson } from './issuer-keys.ts';

const TIMEOUT_MS = 10_000;
/** Key sets have a few keys. */
const MAX_BYTES = 1024 * 1024;

/** Over HTTPS alone, and where the address leads: a redirection is a failure, as are other codes than 200. */
export const fetchJson: FetchJson = (url, ca) =>
  new Promise((resolve, reject) => {
    const fail = (why: string) => {
      request.destroy();
      reject(new Error(`${url}: ${why}`));
    };
    const options = {
      ...(ca === undefined ? {} : { ca }),
      headers: { accept: 'application/json' },
      agent: false as const,
      signal: AbortSignal.timeout(TIMEOUT_MS),
    };
    const request = get(url, options, (response) => {
      if (response.statusCode !== 200) return fail(`answered ${response.statusCode}`);
      const chunks: Buffer[] = [];
      let bytes = 0;
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > MAX_BYTES) fail('the answer is too long');
        else chunks.push(chunk);
      });
      response.once('error', reject);
      response.once('end', () => {
        try {
          resolve(JSON.parse(Buffer.concat(chunks).toString()));
        } catch {
          fail('the answer is no JSON');
        }
      });
    });
    request.once('error', (cause) => reject(new Error(`${url}: ${cause.message}`, { cause })));
  });
