import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ApiError, notFound } from '#api/object/api-error.ts';
import { FakeClock } from '#base/fake-clock.ts';
import { type FakeWebhook, type FakeWebhookAnswer, startFakeWebhook } from './testing/fake-webhook.ts';
import { createWebhookClient, type WebhookClientConfig } from './webhook-client.ts';

let answer: FakeWebhookAnswer = { body: {} };
let hook: FakeWebhook;
beforeAll(async () => {
  hook = await startFakeWebhook(() => answer);
});
afterAll(() => hook.close());

const noDialer = { dial: () => Promise.reject(new Error('nothing to dial')) };
const here = (): WebhookClientConfig => ({ url: `https://127.0.0.1:${hook.port}/review`, caBundle: hook.caBundle });

function post(
  clientConfig: WebhookClientConfig,
  dialer: Parameters<typeof createWebhookClient>[0]['dialer'] = noDialer,
) {
  const clock = new FakeClock();
  const client = createWebhookClient({ dialer, clock });
  return { clock, client, answer: client.post({ clientConfig, body: { ask: 1 }, timeoutMs: 10_000 }) };
}

describe('webhook client', () => {
  it('posts JSON to a URL and tells the time-out', async () => {
    answer = { body: { kind: 'AdmissionReview' } };
    expect(await post(here()).answer).toEqual({ kind: 'AdmissionReview' });
    expect(hook.calls.at(-1)).toMatchObject({ url: '/review?timeout=10s', body: { ask: 1 } });
  });

  it('reaches a Service through the dialer, under its name', async () => {
    answer = { body: {} };
    const service = { namespace: 'default', name: 'hook', path: '/mutate', port: 8443 };
    await post({ service, caBundle: hook.caBundle }, hook.dialer).answer;
    expect(hook.dialer.dialed.at(-1)).toEqual({ kind: 'service', namespace: 'default', name: 'hook', port: 8443 });
    expect(hook.calls.at(-1)).toMatchObject({ url: '/mutate?timeout=10s', headers: { host: 'hook.default.svc:8443' } });
  });

  it('keeps its connections', async () => {
    answer = { body: {} };
    const { client, answer: first } = post(here());
    await first;
    const before = hook.connections();
    await client.post({ clientConfig: here(), body: {}, timeoutMs: 1000 });
    await client.post({ clientConfig: here(), body: {}, timeoutMs: 1000 });
    expect(hook.connections()).toBe(before);
    client.close();
  });

  it.each<[string, () => WebhookClientConfig, FakeWebhookAnswer, RegExp]>([
    [
      'an unknown CA',
      () => ({ url: here().url! }),
      { body: {} },
      /^Post "https:\/\/127.0.0.1:\d+\/review\?timeout=10s": tls: failed to verify certificate: x509: certificate signed by unknown authority$/,
    ],
    [
      'a name that the certificate lacks',
      () => ({ service: { namespace: 'other', name: 'hook' }, caBundle: hook.caBundle }),
      { body: {} },
      /^Post "https:\/\/hook.other.svc:443\/\?timeout=10s": tls: .*x509: certificate is valid for localhost, hook.default.svc, 127.0.0.1, not hook.other.svc$/,
    ],
    [
      'a failure',
      here,
      { status: 500, body: 'oh no' },
      /^an error on the server \("oh no"\) has prevented the request/,
    ],
    ['a missing path', here, { status: 404, body: 'x' }, /^the server could not find the requested resource$/],
    ['what is no JSON', here, { body: 'hello' }, /^couldn't get version\/kind; json parse error: /],
  ])('tells of %s as client-go does', async (_, config, given, message) => {
    answer = given;
    await expect(post(config(), hook.dialer).answer).rejects.toThrow(message);
  });

  it.each([
    ['nobody listens', { url: 'https://127.0.0.1:1/x' }, /dial tcp 127.0.0.1:1: connect: connection refused$/],
    ['the address is none', { url: 'not a url' }, /^parse "not a url": invalid URL$/],
  ])('tells why when %s', async (_, config, message) => {
    await expect(post(config).answer).rejects.toThrow(message);
  });

  it.each([
    ['missing', notFound({ group: '', resource: 'services' }, 'hook'), 'service "hook" not found'],
    [
      'empty',
      new ApiError(503, 'ServiceUnavailable', 'no endpoints available for service "hook"'),
      'no endpoints available for service "hook"',
    ],
  ])('tells of a Service that is %s', async (_, failure, why) => {
    const { answer: asked } = post(
      { service: { namespace: 'a', name: 'hook' } },
      { dial: () => Promise.reject(failure) },
    );
    await expect(asked).rejects.toThrow(`Post "https://hook.a.svc:443/?timeout=10s": ${why}`);
  });

  it('takes no integers that it would change', async () => {
    answer = { body: '{"response":{"convertedObjects":[{"spec":{"n":9007199254740993}}]}}' };
    await expect(post(here()).answer).rejects.toThrow(
      'response.convertedObjects[0].spec.n: the number 9007199254740993 cannot be kept exactly',
    );
  });

  it('gives up after the time-out', async () => {
    answer = { body: 'never' };
    const seen = hook.calls.length;
    const { clock, answer: asked } = post(here());
    const failed = expect(asked).rejects.toThrow('context deadline exceeded');
    await expect.poll(() => hook.calls.length).toBe(seen + 1);
    await clock.advance(10_000);
    await failed;
  });
});
