import type { IDevice } from 'kubernetes-models/resource.k8s.io/v1/Device';
import type { IDeviceAttribute } from 'kubernetes-models/resource.k8s.io/v1/DeviceAttribute';
import { CostBudget, compileExpression, evaluate } from './compile.ts';
import { type CelEnvironment, createEnvironment } from './environment.ts';
import { quantityValue } from './library/quantities.ts';
import { semverValue } from './library/semantic-versions.ts';
import { BOOL, DYN, formatType, mapOf, objectType, opaque, STRING } from './types/cel-type.ts';
import { CelEvaluationError } from './values/evaluation-error.ts';
import { ArrayList, CelMap, type CelValue } from './values/value.ts';

/** A device with the driver that offers it. */
export interface SelectableDevice {
  readonly driver: string;
  readonly device: IDevice;
}

export type DeviceSelection =
  /** Throws with what went wrong while it was evaluated. */
  | { readonly ok: true; readonly matches: (device: SelectableDevice) => boolean }
  | { readonly ok: false; readonly message: string };

/** Kubernetes' limit for one selector and one device. */
const SELECTOR_COST = 1_000_000;

const DEVICE = objectType('kubernetes.DRADevice', {
  driver: STRING,
  attributes: mapOf(STRING, mapOf(STRING, DYN)),
  capacity: mapOf(STRING, mapOf(STRING, opaque('kubernetes.Quantity'))),
  allowMultipleAllocations: BOOL,
});

let environment: CelEnvironment | undefined;

/** A selector of a DeviceClass or of a request: an expression over `device`. A pure function: keep its result. */
export function compileDeviceSelector(expression: string): DeviceSelection {
  environment ??= createEnvironment({ variables: { device: DEVICE } });
  const compiled = compileExpression(expression, environment);
  if (!compiled.ok) return { ok: false, message: `compilation failed: ${compiled.message}` };
  const { resultType } = compiled.expression;
  if (formatType(resultType) !== formatType(BOOL) && formatType(resultType) !== formatType(DYN))
    return { ok: false, message: `must evaluate to bool or the unknown type, not ${formatType(resultType)}` };
  return {
    ok: true,
    matches(device) {
      const value = evaluate(
        compiled.expression,
        { device: () => deviceValue(device) },
        new CostBudget(SELECTOR_COST),
        {
          perCallLimit: SELECTOR_COST,
        },
      );
      if (typeof value === 'boolean') return value;
      throw new CelEvaluationError('CEL expression did not evaluate to a bool');
    },
  };
}

/** Known keys, and what unknown ones give: `device.attributes["nobody.example.com"]` is empty rather than an error. */
class FixedMap extends CelMap {
  readonly #values: ReadonlyMap<string, CelValue>;
  readonly #missing: CelValue | undefined;
  constructor(values: ReadonlyMap<string, CelValue>, missing?: CelValue) {
    super();
    this.#values = values;
    this.#missing = missing;
  }
  override get size(): number {
    return this.#values.size;
  }
  override get(key: CelValue): CelValue | undefined {
    return typeof key === 'string' ? (this.#values.get(key) ?? this.#missing) : undefined;
  }
  override keys(): Iterable<CelValue> {
    return this.#values.keys();
  }
}

const EMPTY = new FixedMap(new Map());

function deviceValue({ driver, device }: SelectableDevice): CelValue {
  const { attributes = {}, capacity = {} } = device;
  return new FixedMap(
    new Map<string, CelValue>([
      ['driver', driver],
      ['attributes', byDomain(driver, attributes, attributeValue)],
      ['capacity', byDomain(driver, capacity, ({ value }) => quantityValue(String(value)))],
      ['allowMultipleAllocations', device.allowMultipleAllocations === true],
    ]),
  );
}

/** Names without a domain are in that of the driver. */
function byDomain<T>(driver: string, named: Readonly<Record<string, T>>, toValue: (one: T) => CelValue): CelValue {
  const domains = new Map<string, Map<string, CelValue>>();
  for (const [name, one] of Object.entries(named)) {
    const at = name.indexOf('/');
    const domain = at < 0 ? driver : name.slice(0, at);
    const values = domains.get(domain) ?? new Map<string, CelValue>();
    domains.set(domain, values.set(name.slice(at + 1), toValue(one)));
  }
  return new FixedMap(new Map([...domains].map(([domain, values]) => [domain, new FixedMap(values)])), EMPTY);
}

function attributeValue(attribute: IDeviceAttribute): CelValue {
  const { bool, int, string, version, bools, ints, strings, versions } = attribute;
  if (bool !== undefined) return bool;
  if (int !== undefined) return BigInt(int);
  if (string !== undefined) return string;
  if (version !== undefined) return versionValue(version);
  return new ArrayList([
    ...(bools ?? []),
    ...(ints ?? []).map(BigInt),
    ...(strings ?? []),
    ...(versions ?? []).map(versionValue),
  ]);
}

function versionValue(text: string): CelValue {
  const value = semverValue(text);
  if (value === undefined) throw new CelEvaluationError(`${JSON.stringify(text)} is not a semantic version`);
  return value;
}
