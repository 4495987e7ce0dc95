import type { KubeletRig } from './kubelet-rig.ts';

/**
 * How an agent dies at one of its steps. `before` anybody heard of it; `after` it was done and before the agent was told; `overtaken`: the
 * step takes its time, all else goes on meanwhile as far as it gets, and then the agent dies, the step undone or done.
 */
export const DEATHS = ['before', 'after', 'overtaken, undone', 'overtaken, done'] as const;
export type Death = (typeof DEATHS)[number];

type Call = (...args: never[]) => Promise<unknown>;

/** Some calls of one object, and which of them are steps. */
export interface Watched {
  readonly owner: object;
  readonly methods: readonly string[];
  readonly isStep: (args: readonly unknown[]) => boolean;
}

export interface DyingOptions {
  readonly rig: KubeletRig;
  readonly watched: readonly Watched[];
  /** Counted from 1, in the order in which they begin. */
  readonly step: number;
  readonly death: Death;
}

/** Long enough for whatever tries again after ten seconds. */
const AFTERLIFE_S = 12;

/**
 * Lets `act` drive the agent until it dies, and starts another one, which finds what the first one left. Whatever an agent that is dead
 * would have done next never happens. `act` returns early once `isOver` says so. Answers the name of the step; undefined where there are
 * fewer: then nothing died.
 */
export async function dieAt(
  { rig, watched, step, death }: DyingOptions,
  act: (isOver: () => boolean) => Promise<void>,
): Promise<string | undefined> {
  let seen = 0;
  let isDead = false;
  let struck: { readonly name: string; readonly proceed: () => Promise<unknown> } | undefined;
  const never = () => new Promise<never>(() => undefined);
  const take = async (name: string, isStep: boolean, proceed: () => Promise<unknown>): Promise<unknown> => {
    if (isDead) return never();
    if (!isStep || ++seen !== step) return proceed();
    struck = { name, proceed };
    isDead = death === 'before' || death === 'after';
    if (death === 'after') await proceed();
    return never();
  };
  const restore = watched.map(({ owner, methods, isStep }) => {
    const own = Object.fromEntries(methods.map((method) => [method, Reflect.get(owner, method) as Call]));
    for (const [method, call] of Object.entries(own)) {
      const guarded = (...args: unknown[]) => take(method, isStep(args), async () => Reflect.apply(call, owner, args));
      Object.assign(owner, { [method]: guarded });
    }
    return () => Object.assign(owner, own);
  });
  await act(() => struck !== undefined);
  await rig.settle();
  if (struck !== undefined && !isDead) {
    for (let second = 0; second < AFTERLIFE_S; second++) await rig.advance(1000);
    isDead = true;
    if (death === 'overtaken, done') await struck.proceed();
  }
  const revive = () => {
    for (const undo of restore) undo();
  };
  if (struck === undefined) revive();
  else await rig.restart(revive);
  return struck?.name;
}
