import { httpHeaderName } from '#api/meta/names.ts';
import { type FieldError, forbiddenField, invalid, notSupported, required } from '#api/object/field-error.ts';
import { validateNonNegative, validatePort, validatePortOrName } from '../validation/format.ts';
import { type Container, isRestartableInit, type LifecycleHandler, type Probe } from './pod-types.ts';

const SCHEMES = ['HTTP', 'HTTPS'];

interface Handler {
  readonly exec?: LifecycleHandler['exec'];
  readonly httpGet?: LifecycleHandler['httpGet'];
  readonly tcpSocket?: LifecycleHandler['tcpSocket'];
  readonly sleep?: LifecycleHandler['sleep'];
  readonly grpc?: Probe['grpc'];
}

function validateHttp(http: NonNullable<Handler['httpGet']>, path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (!http.path) errors.push(required(`${path}.path`));
  errors.push(...validatePortOrName(http.port ?? 0, `${path}.port`));
  if (!SCHEMES.includes(http.scheme ?? '')) errors.push(notSupported(`${path}.scheme`, http.scheme ?? '', SCHEMES));
  for (const [i, { name = '' }] of (http.httpHeaders ?? []).entries()) {
    errors.push(...httpHeaderName(name).map((message) => invalid(`${path}.httpHeaders[${i}].name`, name, message)));
  }
  return errors;
}

const validateExec = (exec: NonNullable<Handler['exec']>, path: string): FieldError[] =>
  (exec.command ?? []).length === 0 ? [required(`${path}.command`)] : [];

function validateSleep(seconds: number, graceSeconds: number | undefined, path: string): FieldError[] {
  const grace = graceSeconds ?? 0;
  return seconds < 0 || seconds > grace
    ? [invalid(path, seconds, `must be non-negative and less than terminationGracePeriodSeconds (${grace})`)]
    : [];
}

/** Exactly one way to act; `graceSeconds` bounds a sleep. */
function validateHandler(handler: Handler, path: string, graceSeconds: number | undefined): FieldError[] {
  const kinds = (['exec', 'httpGet', 'tcpSocket', 'grpc', 'sleep'] as const).filter((k) => handler[k] !== undefined);
  if (kinds.length === 0) return [required(path, 'must specify a handler type')];
  const errors: FieldError[] = kinds
    .slice(1)
    .map((kind) => forbiddenField(`${path}.${kind}`, 'may not specify more than 1 handler type'));
  const { exec, httpGet, tcpSocket, grpc, sleep } = handler;
  if (exec !== undefined) errors.push(...validateExec(exec, `${path}.exec`));
  if (httpGet !== undefined) errors.push(...validateHttp(httpGet, `${path}.httpGet`));
  if (tcpSocket !== undefined) errors.push(...validatePortOrName(tcpSocket.port ?? 0, `${path}.tcpSocket.port`));
  if (grpc !== undefined) errors.push(...validatePort(grpc.port ?? 0, `${path}.grpc.port`));
  if (sleep !== undefined) errors.push(...validateSleep(sleep.seconds ?? 0, graceSeconds, `${path}.sleep`));
  return errors;
}

const COUNTS = [
  'initialDelaySeconds',
  'timeoutSeconds',
  'periodSeconds',
  'successThreshold',
  'failureThreshold',
] as const;

function validateProbe(probe: Probe | undefined, path: string, graceSeconds: number | undefined): FieldError[] {
  if (probe === undefined) return [];
  const errors = validateHandler(probe, path, graceSeconds);
  for (const field of COUNTS) errors.push(...validateNonNegative(probe[field], `${path}.${field}`));
  const grace = probe.terminationGracePeriodSeconds;
  if (grace !== undefined && grace <= 0) {
    errors.push(invalid(`${path}.terminationGracePeriodSeconds`, grace, 'must be greater than 0'));
  }
  return errors;
}

/** Liveness and startup have no way back, so one success is all they can ask for. */
function validateOneSuccess(probe: Probe | undefined, path: string): FieldError[] {
  return probe !== undefined && probe.successThreshold !== 1
    ? [invalid(`${path}.successThreshold`, probe.successThreshold ?? 0, 'must be 1')]
    : [];
}

function validateReadiness(probe: Probe | undefined, path: string): FieldError[] {
  return probe?.terminationGracePeriodSeconds === undefined
    ? []
    : [
        invalid(
          `${path}.terminationGracePeriodSeconds`,
          probe.terminationGracePeriodSeconds,
          'must not be set for readinessProbes',
        ),
      ];
}

/** Probes and lifecycle hooks of a container that may have them. `graceSeconds` is the pod's. */
export function validateProbes(container: Container, path: string, graceSeconds: number | undefined): FieldError[] {
  const { livenessProbe, readinessProbe, startupProbe, lifecycle } = container;
  const errors = [
    ...validateProbe(livenessProbe, `${path}.livenessProbe`, graceSeconds),
    ...validateOneSuccess(livenessProbe, `${path}.livenessProbe`),
    ...validateProbe(readinessProbe, `${path}.readinessProbe`, graceSeconds),
    ...validateReadiness(readinessProbe, `${path}.readinessProbe`),
    ...validateProbe(startupProbe, `${path}.startupProbe`, graceSeconds),
    ...validateOneSuccess(startupProbe, `${path}.startupProbe`),
  ];
  for (const hook of ['postStart', 'preStop'] as const) {
    const handler = lifecycle?.[hook];
    if (handler !== undefined) errors.push(...validateHandler(handler, `${path}.lifecycle.${hook}`, graceSeconds));
  }
  return errors;
}

/** An init container that ends has nothing to probe; a sidecar has. */
export function validateInitProbes(container: Container, path: string, graceSeconds: number | undefined): FieldError[] {
  if (isRestartableInit(container)) return validateProbes(container, path, graceSeconds);
  return (['lifecycle', 'livenessProbe', 'readinessProbe', 'startupProbe'] as const)
    .filter((field) => container[field] !== undefined)
    .map((field) =>
      forbiddenField(`${path}.${field}`, 'may not be set for init containers without restartPolicy=Always'),
    );
}
