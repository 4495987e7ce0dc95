import { type ApiError, ApiError as ApiFailure, forbidden } from '#api/object/api-error.ts';
import type { AdmissionRequest } from '../admission-plugin.ts';

const CODES: Readonly<Record<string, number>> = {
  Forbidden: 403,
  Unauthorized: 401,
  RequestEntityTooLarge: 413,
  Invalid: 422,
};

/** A refusal under a reason of the policy's own; the message stands a second time among the causes, where kubectl reads it. */
export function policyRefusal(request: AdmissionRequest, message: string, reason: string): ApiError {
  const base = forbidden(request.resource, nameOf(request), message);
  return new ApiFailure(CODES[reason] ?? 422, reason, base.message, {
    ...base.details,
    causes: [...(base.details?.causes ?? []), { message }],
  });
}

/** Objects whose name is still to be made are called by what they ask for. */
function nameOf({ name, object }: AdmissionRequest): string {
  return name || object?.metadata?.name || object?.metadata?.generateName || 'Unknown';
}

/** Tells the client once, however often the write is tried. */
export function warnOnce({ context }: AdmissionRequest, text: string): void {
  if (!context.warnings.includes(text)) context.warnings.push(text);
}
