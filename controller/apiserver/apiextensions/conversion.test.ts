import { beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '#base/clock.ts';
import { createResourceServer } from '../resources/testing/resource-server.ts';
import type { Answer, TestServer } from '../server/testing/test-server.ts';
import { startFakeWebhook } from '../webhooks/testing/fake-webhook.ts';
import { createWebhookClient, type WebhookCall, WebhookCallError } from '../webhooks/webhook-client.ts';

const CRDS = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
const V1 = '/apis/example.com/v1/namespaces/n/boxes';
const V2 = '/apis/example.com/v2/namespaces/n/boxes';

const sized = (size: object) => ({
  openAPIV3Schema: { type: 'object', properties: { spec: { type: 'object', properties: { size } } } },
});

function boxes(conversion?: object): Answer {
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: 'boxes.example.com' },
    spec: {
      group: 'example.com',
      scope: 'Namespaced',
      names: { plural: 'boxes', kind: 'Box' },
      ...(conversion === undefined ? {} : { conversion }),
      versions: [
        { name: 'v1', served: true, storage: true, schema: sized({ type: 'integer', default: 1 }) },
        {
          name: 'v2',
          served: true,
          storage: false,
          schema: sized(conversion === undefined ? { type: 'integer' } : { type: 'string' }),
        },
      ],
    },
  };
}

const box = (version: string, name: string, size: unknown): Answer => ({
  apiVersion: `example.com/${version}`,
  kind: 'Box',
  metadata: { name, namespace: 'n' },
  spec: size === undefined ? {} : { size },
});

let calls: Answer[];
let answer: (review: Answer) => Answer;
let api: TestServer;

/** v1 has numbers, v2 their texts. */
function convert(review: Answer): Answer {
  const { uid, desiredAPIVersion, objects } = review.request;
  const convertedObjects = objects.map((object: Answer) => ({
    ...object,
    apiVersion: desiredAPIVersion,
    spec: {
      ...object.spec,
      size: desiredAPIVersion.endsWith('v2') ? `${object.spec.size}` : Number(object.spec.size),
    },
  }));
  return { ...review, response: { uid, convertedObjects, result: { status: 'Success' } } };
}

async function establish(crd: Answer): Promise<void> {
  await api.expect(201, 'POST', CRDS, crd);
  while ((await api.call('GET', '/apis/example.com')).status !== 200) await new Promise((done) => setImmediate(done));
}

beforeEach(() => {
  calls = [];
  answer = convert;
  const webhookClient = {
    async post({ body }: WebhookCall) {
      const review = structuredClone(body);
      calls.push(review);
      return answer(review);
    },
  };
  api = createResourceServer({}, { extend: () => ({ webhookClient }) });
});

describe('versions that differ in their name only', () => {
  beforeEach(() => establish(boxes()));

  it('are written and read in either', async () => {
    await api.expect(201, 'POST', V2, box('v2', 'a', 5));
    expect(await api.expect(200, 'GET', `${V1}/a`)).toMatchObject({ apiVersion: 'example.com/v1', spec: { size: 5 } });
    expect((await api.expect(200, 'GET', V2)).items).toMatchObject([{ apiVersion: 'example.com/v2' }]);
    await api.expect(200, 'DELETE', `${V1}/a`);
    await api.expect(404, 'GET', `${V2}/a`);
  });

  it('default what is read by the version that it was stored in', async () => {
    expect((await api.expect(201, 'POST', V2, box('v2', 'a', undefined))).spec).toEqual({ size: 1 });
    const crd = await api.expect(200, 'GET', `${CRDS}/boxes.example.com`);
    crd.spec.versions[0].schema.openAPIV3Schema.properties.spec.properties.color = { type: 'string', default: 'red' };
    await api.expect(200, 'PUT', `${CRDS}/boxes.example.com`, crd);
    expect((await api.expect(200, 'GET', `${V1}/a`)).spec).toEqual({ color: 'red', size: 1 });
    expect((await api.expect(200, 'GET', `${V2}/a`)).spec).toEqual({ size: 1 });
  });

  it('stay readable after another one became the storage version', async () => {
    await api.expect(201, 'POST', V1, box('v1', 'a', 2));
    const crd = await api.expect(200, 'GET', `${CRDS}/boxes.example.com`);
    crd.spec.versions[0].storage = false;
    crd.spec.versions[1].storage = true;
    const changed = await api.expect(200, 'PUT', `${CRDS}/boxes.example.com`, crd);
    expect(changed.status.storedVersions).toEqual(['v1', 'v2']);
    const kept = await api.expect(200, 'GET', `${V2}/a`);
    expect(kept).toMatchObject({ apiVersion: 'example.com/v2', spec: { size: 2 } });
    // A write without a change still moves it to the new version.
    const moved = await api.expect(200, 'PUT', `${V2}/a`, kept);
    expect(moved.metadata.resourceVersion).not.toBe(kept.metadata.resourceVersion);
    crd.spec.versions = [crd.spec.versions[1]];
    crd.metadata.resourceVersion = (await api.expect(200, 'GET', `${CRDS}/boxes.example.com`)).metadata.resourceVersion;
    const { message } = await api.expect(422, 'PUT', `${CRDS}/boxes.example.com`, crd);
    expect(message).toContain('status.storedVersions[0]: Invalid value: "v1": missing from spec.versions');
  });
});

describe('a conversion webhook', () => {
  const webhook = {
    clientConfig: { url: 'https://convert.example.com/' },
    conversionReviewVersions: ['v1'],
  };
  beforeEach(() => establish(boxes({ strategy: 'Webhook', webhook })));

  it('converts what is written and what is read', async () => {
    const made = await api.expect(201, 'POST', V2, box('v2', 'a', '7'));
    expect(made).toMatchObject({ apiVersion: 'example.com/v2', spec: { size: '7' } });
    expect((await api.expect(200, 'GET', `${V1}/a`)).spec).toEqual({ size: 7 });
    made.spec.size = '8';
    expect((await api.expect(200, 'PUT', `${V2}/a`, made)).spec).toEqual({ size: '8' });
    expect((await api.expect(200, 'GET', V1)).items).toMatchObject([{ spec: { size: 8 } }]);
    await api.expect(200, 'DELETE', `${V2}/a`);
  });

  it('is asked once for a whole list, and not for the version that is stored', async () => {
    for (const name of ['a', 'b', 'c']) await api.expect(201, 'POST', V1, box('v1', name, 3));
    expect(calls).toEqual([]);
    await api.expect(200, 'GET', V1);
    expect(calls).toEqual([]);
    expect((await api.expect(200, 'GET', V2)).items.map((one: Answer) => one.spec.size)).toEqual(['3', '3', '3']);
    expect(calls).toHaveLength(1);
    expect(calls[0]).toMatchObject({ kind: 'ConversionReview', request: { desiredAPIVersion: 'example.com/v2' } });
    await api.expect(200, 'GET', `${V2}/b`);
    expect(calls).toHaveLength(1);
  });

  it('converts watch events in their order', async () => {
    const response = await api.call('GET', `${V2}?watch=true`);
    for (const name of ['a', 'b', 'c']) await api.expect(201, 'POST', V1, box('v1', name, 3));
    await api.expect(200, 'DELETE', `${V1}/a`);
    const told: string[] = [];
    const decoder = new TextDecoder();
    for await (const chunk of response.chunks) {
      for (const line of decoder.decode(chunk).split('\n').filter(Boolean)) {
        const { type, object } = JSON.parse(line);
        told.push(`${type} ${object.metadata.name} ${object.spec.size}`);
      }
      if (told.length >= 4) break;
    }
    expect(told).toEqual(['ADDED a 3', 'ADDED b 3', 'ADDED c 3', 'DELETED a 3']);
  });

  it('that fails makes reads of other versions fail, with its reason', async () => {
    await api.expect(201, 'POST', V1, box('v1', 'a', 3));
    answer = () => {
      throw new WebhookCallError('Post "https://convert.example.com/": EOF', 0);
    };
    const { message } = await api.expect(500, 'GET', `${V2}/a`);
    expect(message).toBe(
      'conversion webhook for example.com/v1, Kind=Box failed: Post "https://convert.example.com/": EOF',
    );
    answer = (review) => ({ ...review, response: { uid: review.request.uid, result: { message: 'no idea' } } });
    expect((await api.expect(500, 'GET', `${V2}/a`)).message).toContain('failed: no idea');
    await api.expect(200, 'GET', `${V1}/a`);
    answer = convert;
    await api.expect(200, 'GET', `${V2}/a`);
  });

  it('cannot change who an object is', async () => {
    await api.expect(201, 'POST', V1, box('v1', 'a', 3));
    answer = (review) => {
      const converted = convert(review);
      converted.response.convertedObjects[0].metadata.name = 'b';
      return converted;
    };
    expect((await api.expect(500, 'GET', `${V2}/a`)).message).toContain('must have the same metadata.name');
  });
});

it('a conversion webhook behind a Service is called over HTTPS', async () => {
  const hook = await startFakeWebhook((call) => ({ body: convert(call.body) }));
  const webhookClient = createWebhookClient({ dialer: hook.dialer, clock: systemClock });
  try {
    api = createResourceServer({}, { extend: () => ({ webhookClient }) });
    const service = { namespace: 'default', name: 'hook', path: '/convert' };
    const clientConfig = { service, caBundle: hook.caBundle };
    await establish(boxes({ strategy: 'Webhook', webhook: { clientConfig, conversionReviewVersions: ['v1'] } }));
    await api.expect(201, 'POST', V2, box('v2', 'a', '7'));
    expect((await api.expect(200, 'GET', `${V1}/a`)).spec).toEqual({ size: 7 });
    expect(hook.dialer.dialed[0]).toEqual({ kind: 'service', namespace: 'default', name: 'hook', port: 443 });
    expect(hook.calls[0]).toMatchObject({
      url: '/convert?timeout=30s',
      body: { kind: 'ConversionReview', apiVersion: 'apiextensions.k8s.io/v1' },
    });
  } finally {
    webhookClient.close();
    await hook.close();
  }
});
