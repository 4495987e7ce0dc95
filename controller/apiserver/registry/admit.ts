import type { AdmissionPlugin, AdmissionRequest, AdmissionTarget } from '../admission/admission-plugin.ts';

/** The plug-ins of one table by what they do and how, each in the table's order. */
interface Plan {
  readonly asynchronous: readonly AdmissionPlugin[];
  /** Without those that wait, like the next. */
  readonly mutating: readonly AdmissionPlugin[];
  readonly validating: readonly AdmissionPlugin[];
}

/** Tables stand for good: they are looked through once, not three times for every write. */
const plans = new WeakMap<readonly AdmissionPlugin[], Plan>();

function planOf(plugins: readonly AdmissionPlugin[]): Plan {
  let plan = plans.get(plugins);
  if (plan === undefined) {
    const prompt = plugins.filter(({ isAsynchronous }) => isAsynchronous !== true);
    plan = {
      asynchronous: plugins.filter(({ isAsynchronous }) => isAsynchronous === true),
      mutating: prompt.filter(({ admit }) => admit !== undefined),
      validating: prompt.filter(({ validate }) => validate !== undefined),
    };
    plans.set(plugins, plan);
  }
  return plan;
}

/** True when a plug-in that must wait for somebody handles the request: admission then cannot run inside the store's decision. */
export function awaitsAdmission(plugins: readonly AdmissionPlugin[], target: AdmissionTarget): boolean {
  for (const plugin of planOf(plugins).asynchronous) if (plugin.handles(target)) return true;
  return false;
}

/**
 * Lets the mutating parts change `request.object`; answers whether any plug-in was asked. Plug-ins that wait are passed over: whoever
 * calls this has found with `awaitsAdmission` that none of them handles the request.
 */
export function runMutatingAdmission(plugins: readonly AdmissionPlugin[], request: AdmissionRequest): boolean {
  const asked = runMutatingRound(plugins, request);
  const { reinvocation } = request;
  if (reinvocation === undefined || !reinvocation.isWanted) return asked;
  reinvocation.isUnderWay = true;
  return runMutatingRound(plugins, request) || asked;
}

function runMutatingRound(plugins: readonly AdmissionPlugin[], request: AdmissionRequest): boolean {
  let asked = false;
  for (const plugin of planOf(plugins).mutating) {
    if (!plugin.handles(request)) continue;
    plugin.admit?.(request);
    asked = true;
  }
  return asked;
}

export function runValidatingAdmission(plugins: readonly AdmissionPlugin[], request: AdmissionRequest): void {
  for (const plugin of planOf(plugins).validating) if (plugin.handles(request)) plugin.validate?.(request);
}

/** The same with plug-ins that wait, in the same order. Rejects with the first refusal. */
export async function awaitMutatingAdmission(
  plugins: readonly AdmissionPlugin[],
  request: AdmissionRequest,
): Promise<void> {
  const round = async () => {
    for (const plugin of plugins) {
      if (plugin.admit !== undefined && plugin.handles(request)) await plugin.admit(request);
    }
  };
  await round();
  const { reinvocation } = request;
  if (reinvocation === undefined || !reinvocation.isWanted) return;
  reinvocation.isUnderWay = true;
  await round();
}

export async function awaitValidatingAdmission(
  plugins: readonly AdmissionPlugin[],
  request: AdmissionRequest,
): Promise<void> {
  for (const plugin of plugins) {
    if (plugin.validate !== undefined && plugin.handles(request)) await plugin.validate(request);
  }
}

/** Both halves for requests that write no object of their own: bindings, evictions, questions, connections. */
export async function admitRequest(plugins: readonly AdmissionPlugin[], request: AdmissionRequest): Promise<void> {
  if (awaitsAdmission(plugins, request)) {
    await awaitMutatingAdmission(plugins, request);
    await awaitValidatingAdmission(plugins, request);
    return;
  }
  runMutatingAdmission(plugins, request);
  runValidatingAdmission(plugins, request);
}
