import { once } from 'node:events';
import { get, type IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';

/**
 * The trimmed body of an answer 200; throws an Error that tells of any other. Over a connection of its own each time: one that was made
 * before the rules of a Service were there has led elsewhere (to a proxy that answers for every address, in some networks), and would go
 * on doing so.
 */
export async function readPage(url: string): Promise<string> {
  const request = get(url, { agent: false, timeout: 2000 });
  request.on('timeout', () => request.destroy(new Error('no answer')));
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  const page = (await text(response)).trim();
  if (response.statusCode !== 200) throw new Error(`it answers ${response.statusCode}: ${page.slice(0, 200)}`);
  return page;
}
