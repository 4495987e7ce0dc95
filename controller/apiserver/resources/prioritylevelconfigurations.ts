import type { IPriorityLevelConfiguration } from 'kubernetes-models/flowcontrol.apiserver.k8s.io/v1/PriorityLevelConfiguration';
import { deepEqual } from '#api/object/deep-equal.ts';
import { type FieldError, forbiddenField, invalid, notSupported, required } from '#api/object/field-error.ts';
import type { Stored } from '#api/object/kube-object.ts';
import { defineResource } from '../registry/define-resource.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';
import { MANDATORY_PRIORITY_LEVELS } from './flow-control/mandatory.ts';
import { validateConditionTypes } from './flow-control/validate-rules.ts';
import { age, NONE } from './printing/cells.ts';
import { ageColumn, nameColumn, text } from './printing/columns.ts';

type PriorityLevelConfiguration = Stored<IPriorityLevelConfiguration>;
type Spec = NonNullable<PriorityLevelConfiguration['spec']>;
type Limited = NonNullable<Spec['limited']>;
type LimitResponse = NonNullable<Limited['limitResponse']>;
type Queuing = NonNullable<LimitResponse['queuing']>;

const EXEMPT = 'exempt';
const DEFAULT_SHARES = 30;
const DEFAULT_QUEUING = { queues: 64, handSize: 8, queueLengthLimit: 50 };
const MAX_QUEUES = 10_000_000;
/** Bits of the hash that deals a flow its hand of queues. */
const MAX_HASH_BITS = 60;

function applyDefaults({ spec }: PriorityLevelConfiguration): void {
  if (spec?.exempt !== undefined) {
    spec.exempt.nominalConcurrencyShares ??= 0;
    spec.exempt.lendablePercent ??= 0;
  }
  if (spec?.limited === undefined) return;
  spec.limited.nominalConcurrencyShares ??= DEFAULT_SHARES;
  spec.limited.lendablePercent ??= 0;
  const queuing = spec.limited.limitResponse?.queuing;
  if (queuing === undefined) return;
  queuing.queues ||= DEFAULT_QUEUING.queues;
  queuing.handSize ||= DEFAULT_QUEUING.handSize;
  queuing.queueLengthLimit ||= DEFAULT_QUEUING.queueLengthLimit;
}

interface Shares {
  readonly nominalConcurrencyShares?: number;
  readonly lendablePercent?: number;
}

function validateShares({ nominalConcurrencyShares = 0, lendablePercent = 0 }: Shares, path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (nominalConcurrencyShares < 0) {
    errors.push(
      invalid(`${path}.nominalConcurrencyShares`, nominalConcurrencyShares, 'must be a non-negative integer'),
    );
  }
  if (lendablePercent < 0 || lendablePercent > 100) {
    errors.push(invalid(`${path}.lendablePercent`, lendablePercent, 'must be between 0 and 100, inclusive'));
  }
  return errors;
}

/** Bits needed to choose `hand` of `deck` queues in order. */
function entropyBits(deck: number, hand: number): number {
  let bits = 0;
  for (let i = 0; i < hand && bits <= MAX_HASH_BITS; i++) bits += Math.log2(deck - i);
  return Math.ceil(bits);
}

function validateQueuing({ queues = 0, handSize = 0, queueLengthLimit = 0 }: Queuing, path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (queueLengthLimit <= 0) errors.push(invalid(`${path}.queueLengthLimit`, queueLengthLimit, 'must be positive'));
  if (queues <= 0) errors.push(invalid(`${path}.queues`, queues, 'must be positive'));
  else if (queues > MAX_QUEUES) {
    errors.push(invalid(`${path}.queues`, queues, `must not be greater than ${MAX_QUEUES}`));
  }
  const refuseHand = (detail: string) => errors.push(invalid(`${path}.handSize`, handSize, detail));
  if (handSize <= 0) refuseHand('must be positive');
  else if (handSize > queues) refuseHand(`should not be greater than queues (${queues})`);
  else if (entropyBits(queues, handSize) > MAX_HASH_BITS) {
    refuseHand(
      `required entropy bits of deckSize ${queues} and handSize ${handSize} should not be greater than ${MAX_HASH_BITS}`,
    );
  }
  return errors;
}

function validateLimitResponse(response: LimitResponse | undefined, path: string): FieldError[] {
  const { type = '', queuing } = response ?? {};
  switch (type) {
    case 'Reject':
      return queuing === undefined
        ? []
        : [forbiddenField(`${path}.queuing`, 'must be nil if limited.limitResponse.type is not Limited')];
    case 'Queue':
      return queuing === undefined
        ? [required(`${path}.queuing`, 'must not be empty if limited.limitResponse.type is Limited')]
        : validateQueuing(queuing, `${path}.queuing`);
    default:
      return [notSupported(`${path}.type`, type, ['Queue', 'Reject'])];
  }
}

function validateLimited(limited: Limited, path: string): FieldError[] {
  const { borrowingLimitPercent = 0 } = limited;
  const errors = [
    ...validateShares(limited, path),
    ...validateLimitResponse(limited.limitResponse, `${path}.limitResponse`),
  ];
  if (borrowingLimitPercent < 0) {
    errors.push(
      invalid(`${path}.borrowingLimitPercent`, borrowingLimitPercent, 'if specified, must be a non-negative integer'),
    );
  }
  return errors;
}

function validateSpec(spec: Spec | undefined, name: string): FieldError[] {
  const { type = '', exempt, limited } = spec ?? {};
  const errors: FieldError[] = [];
  if ((name === EXEMPT) !== (type === 'Exempt')) {
    errors.push(invalid('spec.type', type, "type must be 'Exempt' if and only if name is 'exempt'"));
  }
  switch (type) {
    case 'Exempt':
      if (limited !== undefined) {
        errors.push(forbiddenField('spec.limited', 'must be nil if the type is not Limited'));
      }
      if (exempt !== undefined) errors.push(...validateShares(exempt, 'spec.exempt'));
      break;
    case 'Limited':
      if (exempt !== undefined) errors.push(forbiddenField('spec.exempt', 'must be nil if the type is Limited'));
      if (limited === undefined) errors.push(required('spec.limited', 'must not be empty when type is Limited'));
      else errors.push(...validateLimited(limited, 'spec.limited'));
      break;
    default:
      errors.push(notSupported('spec.type', type, ['Exempt', 'Limited']));
  }
  return errors;
}

/** `exempt` may change its share, nothing else; `catch-all` nothing at all. */
function validateMandatory(spec: Spec | undefined, name: string): FieldError[] {
  if (name === EXEMPT) {
    const { exempt: _free, ...rest } = spec ?? {};
    return deepEqual(rest, { type: 'Exempt' })
      ? []
      : [invalid('spec', spec, "spec of 'exempt' except the 'spec.exempt' field must equal the fixed value")];
  }
  const isFree = !Object.hasOwn(MANDATORY_PRIORITY_LEVELS, name);
  return isFree || deepEqual(spec, MANDATORY_PRIORITY_LEVELS[name as keyof typeof MANDATORY_PRIORITY_LEVELS])
    ? []
    : [invalid('spec', spec, `spec of '${name}' must equal the fixed value`)];
}

export const priorityLevelConfigurations: ResourceDefinition = defineResource<PriorityLevelConfiguration>({
  group: 'flowcontrol.apiserver.k8s.io',
  version: 'v1',
  resource: 'prioritylevelconfigurations',
  kind: 'PriorityLevelConfiguration',
  namespaced: false,
  hasStatus: true,
  hasGeneration: true,
  allowUnconditionalUpdate: false,
  applyDefaults,
  prepareForCreate(level) {
    level.status = {};
  },
  validate: ({ metadata, spec, status }) => [
    ...validateSpec(spec, metadata.name),
    ...validateMandatory(spec, metadata.name),
    ...validateConditionTypes(status?.conditions),
  ],
  validateStatusUpdate: ({ status }) => validateConditionTypes(status?.conditions),
  columns: [
    nameColumn,
    text('Type', 'Whether its requests are limited at all.'),
    text('NominalConcurrencyShares', 'Share of the seats of the server.'),
    text('Queues', 'Number of queues.'),
    text('HandSize', 'Queues that one flow may use.'),
    text('QueueLengthLimit', 'Requests that may wait in one queue.'),
    ageColumn,
  ],
  tableRow(level, nowMs) {
    const limited = level.spec?.limited;
    const queuing = limited?.limitResponse?.queuing;
    return [
      level.metadata.name,
      level.spec?.type ?? '',
      limited?.nominalConcurrencyShares ?? NONE,
      queuing?.queues ?? NONE,
      queuing?.handSize ?? NONE,
      queuing?.queueLengthLimit ?? NONE,
      age(level, nowMs),
    ];
  },
});
