import { expect, test } from 'vitest';
import { parseImageReference } from './image-reference.ts';
import { needsVerification, parseImagePattern, type VerificationPolicy } from './verification-policy.ts';

const imageOf = (name: string) => parseImageReference(name)!;
const policy = (kind: VerificationPolicy['kind'], ...patterns: string[]): VerificationPolicy => ({
  kind,
  allowlist: patterns.map(parseImagePattern),
});

test.each([
  ['NeverVerify', false, false],
  ['NeverVerifyPreloadedImages', true, false],
  ['NeverVerifyAllowlistedImages', true, true],
  ['AlwaysVerify', true, true],
] as const)('%s verifies what pods brought: %s, and what was here before: %s', (kind, pulled, preloaded) => {
  expect(needsVerification(policy(kind), imageOf('r.example/app:1'), true)).toBe(pulled);
  expect(needsVerification(policy(kind), imageOf('r.example/app:1'), false)).toBe(preloaded);
});

test.each([
  ['r.example/app', 'r.example/app:1', true],
  ['r.example/app', `r.example/app@sha256:${'a'.repeat(64)}`, true],
  ['r.example/app', 'r.example/apple:1', false],
  ['r.example/*', 'r.example/team/app:1', true],
  ['r.example/team/*', 'r.example/teams/app:1', false],
  ['docker.io/library/nginx', 'nginx', true],
  ['docker.io/library/*', 'team/nginx', false],
])('the allow list entry %s leaves %s to all: %s', (pattern, image, expected) => {
  expect(needsVerification(policy('NeverVerifyAllowlistedImages', pattern), imageOf(image), true)).toBe(!expected);
});

test.each([
  [' r.example/app', 'leading/trailing spaces are not allowed'],
  ['', 'the supplied pattern is too short'],
  ['*', "only patterns ending with '/*' are allowed"],
  ['r.example/*/app', "only patterns ending with '/*' are allowed"],
  ['r.example/a*', "only patterns ending with '/*' are allowed"],
  ['/*', 'at least registry hostname is required'],
  ['r.example/UPPER', 'failed to parse as an image name'],
  ['r.example/app:1', 'without tag or digest'],
  ['nginx', 'here docker.io/library/nginx'],
])('%j is no entry of an allow list: %s', (pattern, message) => {
  expect(() => parseImagePattern(pattern)).toThrow(message);
});
