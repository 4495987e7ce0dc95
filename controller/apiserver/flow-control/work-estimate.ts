import type { RequestInfo } from '../chain/request-context.ts';
import { isTrue } from '../chain/request-info.ts';

/** Seats by the work that a request makes. Pure. */

/** A list holds one seat per so many objects that it goes through: about 100 kB of answer, Kubernetes' measure. */
const OBJECTS_PER_SEAT = 100;
const MAX_LIST_SEATS = 10;
/** An event has to be told to all who watch: each ten of them count as a seat for a moment after the write. */
const WATCHERS_PER_SEAT = 10;
const MAX_WRITE_SEATS = 10;
const MUTATING: ReadonlySet<string> = new Set(['create', 'update', 'patch', 'delete']);

export interface WorkFacts {
  /** Objects that the request's collection holds. */
  countObjects(info: RequestInfo): number;
  /** Watches that may see what this request writes. */
  countWatchers(info: RequestInfo): number;
}

/** Whether the request reads a whole collection before its answer begins. */
function readsCollection({ verb, name, query }: RequestInfo): boolean {
  if (name !== '') return false;
  return verb === 'list' || (verb === 'watch' && query.size > 0 && isTrue(query.get('sendInitialEvents')));
}

/** Seats while the request runs; `maxSeats` is the widest that its level allows. */
export function estimateSeats(info: RequestInfo, facts: WorkFacts, maxSeats: number): number {
  if (!info.isResourceRequest || !readsCollection(info)) return 1;
  const count = facts.countObjects(info);
  const limit = Number(info.query.get('limit') ?? 0);
  const objects = limit > 0 && limit < count ? limit : count;
  return Math.max(1, Math.min(MAX_LIST_SEATS, maxSeats, Math.ceil(objects / OBJECTS_PER_SEAT)));
}

/** Seats that a write goes on holding for a moment while its event spreads; 0 when few watch. */
export function estimateFinalSeats(info: RequestInfo, facts: WorkFacts, maxSeats: number): number {
  if (!info.isResourceRequest || !MUTATING.has(info.verb)) return 0;
  const watchers = facts.countWatchers(info);
  if (watchers < WATCHERS_PER_SEAT) return 0;
  return Math.min(MAX_WRITE_SEATS, maxSeats, Math.ceil(watchers / WATCHERS_PER_SEAT));
}
