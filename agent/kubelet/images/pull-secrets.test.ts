import { expect, test } from 'vitest';
import type { EventRecorder } from '#api/client/event-recorder.ts';
import type { Secret } from '#api/object/kinds.ts';
import { PodEvents } from '../pod-events.ts';
import { podWith } from '../testing/pod-fixtures.ts';
import { parseImageReference } from './image-reference.ts';
import { pullCredentials } from './pull-secrets.ts';

const auths = { 'r.example': { username: 'u', password: 'p' } };
const known: Secret = {
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name: 'known', namespace: 'default', uid: 'u1', resourceVersion: '1', creationTimestamp: '' },
  data: { '.dockerconfigjson': Buffer.from(JSON.stringify({ auths })).toString('base64') },
};

test.each([
  [['known'], []],
  [['gone', 'known', 'unread'], ['gone, unread']],
])(
  'a pod that names the Secrets %j goes on with those that there are, and is told of others: %j',
  async (names, told) => {
    const messages: string[] = [];
    const record: EventRecorder['record'] = (_, type, reason, message) => messages.push(`${type} ${reason} ${message}`);
    const read = async (_uid: string, _namespace: string, name: string) => {
      if (name === 'unread') throw new Error('the API does not answer');
      return name === 'known' ? known : undefined;
    };
    const found = await pullCredentials(
      { secrets: { read }, events: new PodEvents({ record } as EventRecorder) },
      podWith({ imagePullSecrets: names.map((name) => ({ name })) }),
      parseImageReference('r.example/app:1')!,
    );
    expect(found).toMatchObject([
      { auth: { username: 'u' }, secret: { uid: 'u1', namespace: 'default', name: 'known' } },
    ]);
    expect(messages).toEqual(
      told.map(
        (missing) =>
          `Warning FailedToRetrieveImagePullSecret Unable to retrieve some image pull secrets (${missing}); attempting to pull the image may not succeed.`,
      ),
    );
  },
);
