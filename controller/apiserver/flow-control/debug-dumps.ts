import type { RequestContext } from '../chain/request-context.ts';
import { sendText } from '../chain/status-answer.ts';
import type { ExtraPath } from '../server/api-server.ts';
import type { FlowController } from './flow-controller.ts';
import type { PriorityLevel } from './priority-level.ts';

const ROOT = '/debug/api_priority_and_fairness';

const rows = (header: readonly string[], lines: readonly (readonly (string | number | boolean)[])[]): string =>
  [header, ...lines].map((line) => `${line.join(',\t')}\n`).join('');

/** The levels with what runs and waits in them. */
function dumpPriorityLevels(levels: Iterable<PriorityLevel>): string {
  const lines = [...levels].map((level) => {
    const { name, isExempt, queues, inUse, waiting, limits } = level;
    const active = queues?.queues.filter(({ waiters }) => waiters.length > 0).length ?? 0;
    return [name, active, inUse === 0 && waiting === 0, isExempt, waiting, inUse, limits.nominal, limits.max];
  });
  return rows(
    ['PriorityLevelName', 'ActiveQueues', 'IsIdle', 'IsExempt', 'WaitingRequests', 'SeatsInUse', 'NominalCL', 'MaxCL'],
    lines,
  );
}

/** Queues that hold requests. */
function dumpQueues(levels: Iterable<PriorityLevel>): string {
  const lines = [...levels].flatMap(({ name, queues }) =>
    (queues?.queues ?? [])
      .filter(({ waiters }) => waiters.length > 0)
      .map(({ index, waiters, waitingSeats, start }) => [name, index, waiters.length, waitingSeats, start.toFixed(3)]),
  );
  return rows(['PriorityLevelName', 'Index', 'PendingRequests', 'SeatsWaiting', 'VirtualStart'], lines);
}

/** `/debug/api_priority_and_fairness/`: for whoever may read these paths. */
export function flowControlDumps(controller: FlowController): readonly ExtraPath[] {
  const answer = (name: string, render: () => string): ExtraPath => ({
    path: `${ROOT}/${name}`,
    async handle({ response }: RequestContext) {
      sendText(response, 200, render());
    },
  });
  return [
    answer('dump_priority_levels', () => dumpPriorityLevels(controller.levels)),
    answer('dump_queues', () => dumpQueues(controller.levels)),
  ];
}
