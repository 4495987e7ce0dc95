import { Readable, type Transform } from 'node:stream';
import { createGunzip, createInflate } from 'node:zlib';
import { type ProxyPlace, rewriteLink } from './proxy-target.ts';

/**
 * Links in a proxied page: an absolute path of the backend's would lead out of the proxy, so it is put under the proxy's path, as
 * Kubernetes does. Bytes are taken as Latin-1 text and given back as such: tags are ASCII, and all else stays untouched.
 */

/** Attributes that hold links, whatever the element. */
const LINKS =
  /(\s(?:href|src|action|formaction|background|cite|codebase|data|icon|longdesc|manifest|poster|profile|usemap|classid)\s*=\s*)("[^"]*"|'[^']*'|[^\s"'>]+)/gi;
/** A tag that is not over within this length is passed on as it is. */
const MAX_TAG_CHARS = 64 * 1024;

function rewriteTag(tag: string, place: ProxyPlace): string {
  return tag.replace(LINKS, (whole, lead: string, value: string) => {
    const quote = /^["']/.test(value) ? value[0]! : '';
    const link = quote === '' ? value : value.slice(1, -1);
    const rewritten = rewriteLink(link, place);
    return rewritten === link ? whole : `${lead}${quote}${rewritten}${quote}`;
  });
}

/** Rewrites a page piece by piece; a tag may be cut anywhere. */
export class LinkRewriter {
  readonly #place: ProxyPlace;
  #carry = '';

  constructor(place: ProxyPlace) {
    this.#place = place;
  }

  push(text: string): string {
    const all = this.#carry + text;
    const lastOpen = all.lastIndexOf('<');
    const isCut = lastOpen >= 0 && all.indexOf('>', lastOpen) < 0 && all.length - lastOpen <= MAX_TAG_CHARS;
    const end = isCut ? lastOpen : all.length;
    this.#carry = all.slice(end);
    return all.slice(0, end).replace(/<[a-z][^<>]*>/gi, (tag) => rewriteTag(tag, this.#place));
  }

  end(): string {
    return this.#carry;
  }
}

type Decode = (body: Readable) => Readable;

const piped = (body: Readable, decoder: Transform): Readable => {
  body.once('error', (err) => decoder.destroy(err));
  decoder.once('close', () => body.destroy());
  return body.pipe(decoder);
};

/** How to read the page of an answer with these headers; undefined for what is no page, or packed in a way that we do not know. */
export function rewritableEncoding(headers: Readonly<Record<string, string | string[]>>): Decode | undefined {
  const type = String(headers['content-type'] ?? '')
    .split(';')[0]!
    .trim()
    .toLowerCase();
  if (type !== 'text/html' && type !== 'application/xhtml+xml') return undefined;
  switch (String(headers['content-encoding'] ?? '')) {
    case '':
    case 'identity':
      return (body) => body;
    case 'gzip':
      return (body) => piped(body, createGunzip());
    case 'deflate':
      return (body) => piped(body, createInflate());
    default:
      return undefined;
  }
}

export function rewriteHtml(body: Readable, place: ProxyPlace): Readable {
  const rewriter = new LinkRewriter(place);
  async function* rewritten(): AsyncGenerator<Buffer> {
    for await (const chunk of body) yield Buffer.from(rewriter.push((chunk as Buffer).toString('latin1')), 'latin1');
    yield Buffer.from(rewriter.end(), 'latin1');
  }
  return Readable.from(rewritten());
}
