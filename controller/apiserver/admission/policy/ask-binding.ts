import { ApiError } from '#api/object/api-error.ts';
import type { KubeObject } from '#api/object/kube-object.ts';
import type { Store } from '../../../store/store.ts';
import type { AdmissionRequest } from '../admission-plugin.ts';
import { collectParams } from './collect-params.ts';
import { matchesSelectors } from './match-resources.ts';
import type { Binding, PolicySpec } from './policy-index.ts';
import { PolicyConfigurationError } from './policy-objects.ts';

export interface BindingQuestion {
  readonly store: Store;
  readonly request: AdmissionRequest;
  readonly spec: PolicySpec;
  readonly binding: Binding;
}

/** The params with which a policy is asked; undefined where its binding does not mean the request. Throws PolicyConfigurationError. */
export function paramsOfBinding(question: BindingQuestion): (KubeObject | undefined)[] | undefined {
  const { store, request, spec, binding } = question;
  if (binding.match !== undefined && !matchesSelectors(store, binding.match, request)) return undefined;
  return collectParams({
    paramKind: spec.paramKind,
    paramRef: binding.spec.paramRef,
    target: request,
    snapshot: store.snapshot(),
  });
}

/** Undefined, after `fail`, where policy or binding cannot be asked as they stand. */
export function askConfigured<T>(
  binding: Binding | undefined,
  work: () => T,
  fail: (message: string) => void,
): T | undefined {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof PolicyConfigurationError || error instanceof ApiError)) throw error;
    fail(`failed to configure ${binding === undefined ? 'policy' : 'binding'}: ${error.message}`);
    return undefined;
  }
}
