import {
  duplicate,
  type FieldError,
  forbiddenField,
  invalid,
  notSupported,
  required,
  tooMany,
} from '#api/object/field-error.ts';
import { validateOneOf } from '../validation/format.ts';
import type { Container } from './pod-types.ts';

type Rule = NonNullable<Container['restartPolicyRules']>[number];

const POLICIES = ['Always', 'OnFailure', 'Never'];
const ACTIONS = ['Restart', 'RestartAllContainers'];
const OPERATORS = ['In', 'NotIn'];
const MAX_RULES = 20;
const MAX_EXIT_CODES = 255;

function validateRule({ action, exitCodes }: Rule, path: string): FieldError[] {
  const errors = validateOneOf(action, ACTIONS, `${path}.action`);
  if (exitCodes === undefined) return [...errors, required(`${path}.exitCodes`)];
  const { operator, values = [] } = exitCodes;
  errors.push(...validateOneOf(operator, OPERATORS, `${path}.exitCodes.operator`));
  const at = `${path}.exitCodes.values`;
  if (values.length === 0) errors.push(required(at, 'must specify at least one value'));
  if (values.length > MAX_EXIT_CODES) errors.push(tooMany(at, values.length, MAX_EXIT_CODES));
  const seen = new Set<number>();
  for (const [i, value] of values.entries()) {
    if (seen.has(value)) errors.push(duplicate(`${at}[${i}]`, value));
    seen.add(value);
  }
  return errors;
}

/** When one container starts again, other than the pod's own policy says. */
export function validateRestartRules(
  { restartPolicy, restartPolicyRules = [] }: Container,
  path: string,
): FieldError[] {
  const errors: FieldError[] = [];
  if (restartPolicy !== undefined && !POLICIES.includes(restartPolicy)) {
    errors.push(notSupported(`${path}.restartPolicy`, restartPolicy, POLICIES));
  }
  if (restartPolicyRules.length === 0) return errors;
  if (restartPolicy === undefined) {
    errors.push(required(`${path}.restartPolicy`, 'must specify restartPolicy when restart rules are used'));
  }
  const at = `${path}.restartPolicyRules`;
  if (restartPolicyRules.length > MAX_RULES) errors.push(tooMany(at, restartPolicyRules.length, MAX_RULES));
  return [...errors, ...restartPolicyRules.flatMap((rule, i) => validateRule(rule, `${at}[${i}]`))];
}

const RESIZABLE = ['cpu', 'memory'];
const RESIZE_POLICIES = ['NotRequired', 'RestartContainer'];

/** Which change of resources restarts the container. */
export function validateResizePolicy(
  { resizePolicy, restartPolicy }: Container,
  path: string,
  podRestartPolicy: string | undefined,
): FieldError[] {
  const seen = new Set<string>();
  return (resizePolicy ?? []).flatMap(({ resourceName, restartPolicy: policy }, i) => {
    const at = `${path}.resizePolicy[${i}]`;
    const errors: FieldError[] = [];
    if (seen.has(resourceName)) errors.push(duplicate(`${path}.resizePolicy`, resourceName));
    seen.add(resourceName);
    if (!resourceName) errors.push(required(`${at}.resourceName`));
    else if (!RESIZABLE.includes(resourceName)) {
      errors.push(notSupported(`${at}.resourceName`, resourceName, RESIZABLE));
    }
    errors.push(...validateOneOf(policy, RESIZE_POLICIES, `${at}.restartPolicy`));
    if (podRestartPolicy === 'Never' && policy === 'RestartContainer' && restartPolicy !== 'Always') {
      errors.push(invalid(`${at}.restartPolicy`, policy, "must be 'NotRequired' when `restartPolicy` is 'Never'"));
    }
    return errors;
  });
}

const REAL_TIME = [
  ...Array.from({ length: 15 }, (_, i) => `SIGRTMIN+${i + 1}`),
  ...Array.from({ length: 14 }, (_, i) => `SIGRTMAX-${i + 1}`),
];
const SIGNALS: Readonly<Record<string, readonly string[]>> = {
  linux: [
    ...'ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT RTMAX RTMIN SEGV STKFLT STOP SYS TERM'
      .split(' ')
      .map((name) => `SIG${name}`),
    ...'TRAP TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ'.split(' ').map((name) => `SIG${name}`),
    ...REAL_TIME,
  ],
  windows: ['SIGKILL', 'SIGTERM'],
};

/** Signals differ between systems, so the pod must say which it is for. */
export function validateStopSignal({ lifecycle }: Container, path: string, os: string | undefined): FieldError[] {
  const signal = lifecycle?.stopSignal;
  if (signal === undefined) return [];
  const at = `${path}.lifecycle.stopSignal`;
  if (!os) return [forbiddenField(at, 'may not be set for containers with empty `spec.os.name`')];
  const known = Object.hasOwn(SIGNALS, os) ? (SIGNALS[os] as readonly string[]) : [];
  return known.includes(signal) ? [] : [notSupported(at, signal, known)];
}
