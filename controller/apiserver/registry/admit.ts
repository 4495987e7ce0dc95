import type { AdmissionPlugin, AdmissionRequest } from '../admission/admission-plugin.ts';

/** Lets the mutating parts change `request.object` in place; answers whether any plugin was asked. */
export function runMutatingAdmission(plugins: readonly AdmissionPlugin[], request: AdmissionRequest): boolean {
  let asked = false;
  for (const plugin of plugins) {
    if (plugin.admit === undefined || !plugin.handles(request)) continue;
    plugin.admit(request);
    asked = true;
  }
  return asked;
}

export function runValidatingAdmission(plugins: readonly AdmissionPlugin[], request: AdmissionRequest): void {
  for (const plugin of plugins) {
    if (plugin.validate !== undefined && plugin.handles(request)) plugin.validate(request);
  }
}
