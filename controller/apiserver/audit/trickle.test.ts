import { expect, it } from 'vitest';
import { FakeClock } from '#base/fake-clock.ts';
import { createTrickle } from './trickle.ts';

it('lets a burst through, then a trickle, and never saves up more than a burst', async () => {
  const clock = new FakeClock();
  const may = createTrickle(clock, { burst: 3, perSecond: 2 });
  const count = () => Array.from({ length: 10 }, may).filter(Boolean).length;
  expect(count()).toBe(3);
  await clock.advance(1_000);
  expect(count()).toBe(2);
  await clock.advance(60_000);
  expect(count()).toBe(3);
});
