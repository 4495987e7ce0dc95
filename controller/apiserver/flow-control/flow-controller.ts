import type { Clock } from '#base/clock.ts';
import type { RequestContext, RequestInfo, UserInfo } from '../chain/request-context.ts';
import {
  MANDATORY_LEVELS,
  MANDATORY_SCHEMAS,
  SUGGESTED_FLOW_SCHEMAS,
  SUGGESTED_PRIORITY_LEVELS,
} from './bootstrap-configuration.ts';
import { computeSeatLimits, type SeatLimits } from './concurrency.ts';
import type { Configured, FlowSchemaSpec, PriorityLevelSpec } from './configuration.ts';
import type { FlowMetrics, FlowSeries } from './flow-metrics.ts';
import { flowDistinguisher, matchesRequest, schemasOfUser, sortSchemas, type UserSchema } from './match-schema.ts';
import { PriorityLevel, SeatPool } from './priority-level.ts';

/** Where a request belongs. One value per schema: nothing is made per request. */
export interface FlowClass {
  readonly schema: Configured<FlowSchemaSpec>;
  readonly level: PriorityLevel;
  readonly series: FlowSeries;
  readonly schemaUid: string;
  readonly levelUid: string;
}

interface UserFlows {
  readonly groups: readonly string[];
  readonly flows: readonly { readonly match: UserSchema; readonly flow: FlowClass }[];
}

/** Users whose schemas are remembered; the memory is bounded because their names are the clients' making. */
const MAX_USERS = 4096;

export interface FlowControllerOptions {
  readonly clock: Clock;
  readonly metrics: FlowMetrics;
  /** `--max-requests-inflight` and `--max-mutating-requests-inflight` together. */
  readonly totalSeats: number;
}

const NO_LIMITS: SeatLimits = { nominal: 0, min: 0, max: 0 };

/** The present configuration of priority and fairness, and the levels with their seats. */
export class FlowController {
  readonly #options: FlowControllerOptions;
  readonly #pool = new SeatPool();
  readonly #levels = new Map<string, PriorityLevel>();
  readonly #users = new Map<string, UserFlows>();
  #schemas: readonly Configured<FlowSchemaSpec>[] = [];
  #flows = new Map<string, FlowClass>();

  /** Begins with the bootstrap configuration, until `configure` brings what is stored. */
  constructor(options: FlowControllerOptions) {
    this.#options = options;
    this.configure(named({ ...SUGGESTED_PRIORITY_LEVELS }), named({ ...SUGGESTED_FLOW_SCHEMAS }));
  }

  get levels(): Iterable<PriorityLevel> {
    return this.#pool.levels;
  }

  get schemas(): readonly Configured<FlowSchemaSpec>[] {
    return this.#schemas;
  }

  hasLevel(name: string): boolean {
    return this.#levels.has(name);
  }

  /** Mandatory objects that are missing are put in; schemas without their level match nothing. */
  configure(levels: readonly Configured<PriorityLevelSpec>[], schemas: readonly Configured<FlowSchemaSpec>[]): void {
    this.#configureLevels(withMissing(levels, MANDATORY_LEVELS));
    const { metrics } = this.#options;
    this.#schemas = sortSchemas(
      withMissing(schemas, MANDATORY_SCHEMAS).filter(({ spec }) =>
        this.#levels.has(spec.priorityLevelConfiguration.name),
      ),
    );
    this.#flows = new Map(
      this.#schemas.map((schema) => {
        const level = this.#levels.get(schema.spec.priorityLevelConfiguration.name)!;
        const series = metrics.seriesOf(level.name, schema.name);
        return [schema.name, { schema, level, series, schemaUid: schema.uid, levelUid: level.config.uid }] as const;
      }),
    );
    this.#users.clear();
  }

  #configureLevels(wanted: readonly Configured<PriorityLevelSpec>[]): void {
    const limits = computeSeatLimits(wanted, this.#options.totalSeats);
    const names = new Set(wanted.map(({ name }) => name));
    for (const [name, level] of this.#levels) {
      if (names.has(name)) continue;
      // Its requests keep their seats until they end; nobody new comes.
      this.#levels.delete(name);
      level.configure(level.config, { ...NO_LIMITS, max: level.limits.max });
      if (level.inUse === 0 && level.waiting === 0) this.#pool.remove(level);
    }
    for (const config of wanted) {
      const known = this.#levels.get(config.name);
      const own = limits.get(config.name) ?? NO_LIMITS;
      if (known !== undefined) known.configure(config, own);
      else {
        const { clock } = this.#options;
        this.#levels.set(config.name, new PriorityLevel({ pool: this.#pool, clock, config, limits: own }));
      }
    }
    for (const level of this.#pool.levels) {
      if (this.#levels.get(level.name) !== level && level.inUse === 0 && level.waiting === 0) this.#pool.remove(level);
    }
  }

  /** The schema with the lowest precedence that matches; `catch-all` takes what is left. */
  classify({ user, info }: Pick<RequestContext, 'user' | 'info'>): FlowClass {
    for (const { match, flow } of this.#flowsOf(user)) if (matchesRequest(match, info)) return flow;
    return this.#flows.get('catch-all')!;
  }

  #flowsOf(user: UserInfo): UserFlows['flows'] {
    const known = this.#users.get(user.name);
    if (known !== undefined && isSame(known.groups, user.groups)) return known.flows;
    if (this.#users.size >= MAX_USERS) this.#users.clear();
    const flows = schemasOfUser(this.#schemas, user).map((match) => ({
      match,
      flow: this.#flows.get(match.schema.name)!,
    }));
    this.#users.set(user.name, { groups: user.groups, flows });
    return flows;
  }
}

/** The name under which a request queues: schema and distinguisher. */
export function flowName({ schema }: FlowClass, user: UserInfo, info: RequestInfo): string {
  return `${schema.name}/${flowDistinguisher(schema, user, info.namespace)}`;
}

function isSame(a: readonly string[], b: readonly string[]): boolean {
  if (a === b) return true;
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

function named<Spec>(specs: Readonly<Record<string, Spec>>): Configured<Spec>[] {
  return Object.entries(specs).map(([name, spec]) => ({ name, uid: '', spec }));
}

/** The mandatory ones are what they have to be, whatever is stored: only the share of `exempt` may differ. */
function withMissing<Spec>(
  stored: readonly Configured<Spec>[],
  mandatory: Readonly<Record<string, Spec>>,
): Configured<Spec>[] {
  const names = new Set(stored.map(({ name }) => name));
  return [...stored, ...named(mandatory).filter(({ name }) => !names.has(name))];
}
