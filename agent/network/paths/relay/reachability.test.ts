import { describe, expect, it } from 'vitest';
import { FakeClock } from '#base/fake-clock.ts';
import { Reachability } from './reachability.ts';
import type { Hello } from './relay-frames.ts';

/** Two nodes, each with its own view of the path between them; hellos arrive while the controller is there. */
function twoNodes() {
  const clock = new FakeClock();
  const path = { reaches: { a: true, b: true }, controller: true };
  const stop = new AbortController();
  const make = (own: 'a' | 'b', other: 'a' | 'b') =>
    new Reachability({
      clock,
      isAnswered: async () => path.reaches[own],
      sayHello: (_node, hello: Hello) => path.controller && nodes[other].onHello(own, hello),
      onChange() {},
    });
  const nodes: { a: Reachability; b: Reachability } = { a: make('a', 'b'), b: make('b', 'a') };
  nodes.a.look([{ node: 'b', address: '169.254.64.1', path: 'x' }]);
  nodes.b.look([{ node: 'a', address: '169.254.64.0', path: 'x' }]);
  for (const node of Object.values(nodes)) void node.run(stop.signal);
  const pass = async (seconds: number) => {
    for (let i = 0; i < seconds; i++) {
      await clock.advance(1_000);
      for (let turn = 0; turn < 20; turn++) await Promise.resolve();
    }
  };
  const relayed = () => [nodes.a.relayed.has('b'), nodes.b.relayed.has('a')];
  return { path, pass, relayed, nodes, stop };
}

describe('a path between two nodes', () => {
  it.each([
    { name: 'that works is left alone', reaches: { a: true, b: true }, want: [false, false] },
    { name: 'that is broken is relayed', reaches: { a: false, b: false }, want: [true, true] },
    { name: 'that one of them finds broken is relayed both ways', reaches: { a: false, b: true }, want: [true, true] },
  ])('$name', async ({ reaches, want }) => {
    const { path, pass, relayed, stop } = twoNodes();
    await pass(30);
    expect(relayed()).toEqual([false, false]);
    path.reaches = reaches;
    await pass(30);
    expect(relayed()).toEqual(want);
    path.reaches = { a: true, b: true };
    await pass(40);
    expect(relayed()).toEqual([false, false]);
    stop.abort();
  });

  it('is not relayed for a single answer that was lost, nor without the controller', async () => {
    const { path, pass, relayed, stop } = twoNodes();
    path.controller = false;
    path.reaches = { a: false, b: false };
    await pass(40);
    expect(relayed()).toEqual([false, false]);
    path.controller = true;
    await pass(6);
    expect(relayed()).toEqual([true, true]);
    path.controller = false;
    await pass(25);
    expect(relayed()).toEqual([false, false]);
    stop.abort();
  });

  it('is forgotten with its node', async () => {
    const { path, pass, relayed, nodes, stop } = twoNodes();
    path.reaches = { a: false, b: false };
    await pass(30);
    nodes.a.look([]);
    expect(relayed()).toEqual([false, true]);
    stop.abort();
  });
});
