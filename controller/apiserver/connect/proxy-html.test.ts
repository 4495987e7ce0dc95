import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { LinkRewriter, rewritableEncoding, rewriteHtml } from './proxy-html.ts';

const place = { prefix: '/p', backendHost: 'web', clientHost: 'k8s' };

const rewrite = (...pieces: readonly string[]) => {
  const rewriter = new LinkRewriter(place);
  return pieces.map((piece) => rewriter.push(piece)).join('') + rewriter.end();
};

describe('links in a proxied page', () => {
  it.each([
    ['<a href="/x">/y</a>', '<a href="/p/x">/y</a>'],
    ["<img class=a src='/i.png'>", "<img class=a src='/p/i.png'>"],
    ['<link href=/s.css rel=stylesheet>', '<link href=/p/s.css rel=stylesheet>'],
    ['<form action="/post?a=b">', '<form action="/p/post?a=b">'],
    ['<SCRIPT SRC="/a.js"></SCRIPT>', '<SCRIPT SRC="/p/a.js"></SCRIPT>'],
    ['<a href="http://web/x">', '<a href="/p/x">'],
    ['<a href="http://else/x"><a href="x"><a href="#x">', '<a href="http://else/x"><a href="x"><a href="#x">'],
    ['<a data-href="/x" title="href=/x">', '<a data-href="/x" title="href=/x">'],
    ['1 < 2 and href="/x" > 0', '1 < 2 and href="/x" > 0'],
  ])('%s', (page, expected) => {
    expect(rewrite(page)).toBe(expected);
    expect(rewrite(...page)).toBe(expected);
  });

  it('passes a tag without an end on', () => {
    expect(rewrite('<a href="/x')).toBe('<a href="/x');
    const long = `<${'a'.repeat(70_000)}`;
    expect(new LinkRewriter(place).push(long)).toBe(long);
  });

  it('is read through compression, and keeps its bytes', async () => {
    const page = Buffer.from('<p>ümläut ✓</p><a href="/x">');
    const headers = { 'content-type': 'text/html; charset=utf-8', 'content-encoding': 'gzip' };
    const decode = rewritableEncoding(headers);
    const chunks = await rewriteHtml(decode!(Readable.from([gzipSync(page)])), place).toArray();
    expect(Buffer.concat(chunks).toString()).toBe('<p>ümläut ✓</p><a href="/p/x">');
  });

  it.each([
    [{ 'content-type': 'application/json' }],
    [{ 'content-type': 'text/html', 'content-encoding': 'br' }],
    [{}],
  ])('are left alone in %j', (headers) => {
    expect(rewritableEncoding(headers as Record<string, string>)).toBeUndefined();
  });
});
