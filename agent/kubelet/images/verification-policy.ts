import { type ImageReference, parseImageReference, repositoryOf } from './image-reference.ts';

/** Kubernetes' `imagePullCredentialsVerificationPolicy`. */
export const VERIFICATION_POLICIES = [
  'NeverVerify',
  'NeverVerifyPreloadedImages',
  'NeverVerifyAllowlistedImages',
  'AlwaysVerify',
] as const;

/** Which images on the node a pod may use only with credentials that they were pulled with. */
export interface VerificationPolicy {
  readonly kind: (typeof VERIFICATION_POLICIES)[number];
  /** For `NeverVerifyAllowlistedImages`: `registry.example/team/app`, or `registry.example/team/*` for all below. */
  readonly allowlist: readonly ImagePattern[];
}

export interface ImagePattern {
  readonly text: string;
  readonly isPrefix: boolean;
}

export class ImagePatternError extends Error {
  override readonly name = 'ImagePatternError';
}

/** One entry of `preloadedImagesVerificationAllowlist`. Throws ImagePatternError, with the words of Kubernetes. */
export function parseImagePattern(pattern: string): ImagePattern {
  if (pattern !== pattern.trim())
    throw new ImagePatternError(`leading/trailing spaces are not allowed: ${JSON.stringify(pattern)}`);
  const isPrefix = pattern.endsWith('/*');
  const text = isPrefix ? pattern.slice(0, -1) : pattern;
  if (text === '') throw new ImagePatternError(`the supplied pattern is too short: ${JSON.stringify(pattern)}`);
  if (text.includes('*'))
    throw new ImagePatternError(`not a valid wildcard pattern, only patterns ending with '/*' are allowed: ${pattern}`);
  if (text === '/') throw new ImagePatternError('at least registry hostname is required');
  if (isPrefix) return { text, isPrefix };
  const reference = parseImageReference(text);
  if (reference === undefined) throw new ImagePatternError(`failed to parse as an image name: ${pattern}`);
  if (repositoryOf(reference) !== text)
    throw new ImagePatternError(
      `only full names of images without tag or digest are accepted, here ${repositoryOf(reference)}: ${pattern}`,
    );
  return { text, isPrefix };
}

/** Whether an image that is present must be known to have been pulled with what a pod has. Pure. */
export function needsVerification(policy: VerificationPolicy, image: ImageReference, isPulledHere: boolean): boolean {
  if (policy.kind === 'NeverVerify') return false;
  if (policy.kind === 'NeverVerifyPreloadedImages') return isPulledHere;
  if (policy.kind === 'AlwaysVerify') return true;
  const name = repositoryOf(image);
  return !policy.allowlist.some(({ text, isPrefix }) => (isPrefix ? name.startsWith(text) : name === text));
}
