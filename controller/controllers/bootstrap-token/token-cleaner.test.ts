import { expect, it } from 'vitest';
import { resources, type Secret } from '#api/object/kinds.ts';
import { toTime } from '#base/clock.ts';
import { createControllerHarness } from '#test/kit/controller-harness.ts';
import { startTokenCleaner } from './token-cleaner.ts';

it('the token cleaner deletes a token when it expires and leaves the others', async () => {
  const { client, clock, start, advance, stop } = createControllerHarness();
  const secrets = client.resource<Secret>(resources.secrets);
  const add = (name: string, expiration: string | undefined) =>
    secrets.create({
      metadata: { name, namespace: 'kube-system' },
      type: 'bootstrap.kubernetes.io/token',
      data: expiration === undefined ? {} : { expiration: Buffer.from(expiration).toString('base64') },
    });
  await add('for-ever', undefined);
  await add('an-hour', toTime(clock.now() + 3_600_000));
  await add('garbled', 'tomorrow');
  await start(startTokenCleaner);
  const names = async () => (await secrets.fetchList()).items.map(({ metadata }) => metadata.name);
  expect(await names()).toEqual(['for-ever', 'an-hour']);
  await advance(3_600_000);
  expect(await names()).toEqual(['for-ever']);
  stop();
});
