import { describe, expect, test } from 'vitest';
import { findEntitled, type ImageAccess, type SecretUse, withAccess } from './image-access.ts';

const REPOSITORY = 'r.example/app';
const secret = (name: string, hash: string): SecretUse => ({ uid: `uid-${name}`, namespace: 'ns', name, hash });
const accessOf = (...secrets: SecretUse[]): ImageAccess => ({ [REPOSITORY]: { everybody: false, secrets } });

describe('a pod may use an image', () => {
  const known = accessOf(secret('a', '1'))[REPOSITORY];
  test.each([
    ['with the Secret that it was pulled with', [secret('a', '1')], true],
    ['with that Secret, whatever is in it now', [secret('a', '2')], true],
    ['with another Secret that says the same', [secret('b', '1')], true],
    ['with one of several', [secret('b', '2'), secret('a', '1')], true],
    ['not with another Secret', [secret('b', '2')], false],
    ['not with a Secret of the same name that was made anew', [{ ...secret('a', '2'), uid: 'new' }], false],
    ['not with a Secret of the same name elsewhere', [{ ...secret('a', '2'), namespace: 'other' }], false],
    ['not without any', [], false],
  ])('%s', (_, secrets, expected) => {
    expect(findEntitled(known, secrets) !== undefined).toBe(expected);
  });

  test('not where nobody is known to have pulled it under that name', () => {
    expect(findEntitled(undefined, [secret('a', '1')])).toBeUndefined();
  });
});

describe('what a pull teaches', () => {
  const open: ImageAccess = { [REPOSITORY]: { everybody: true, secrets: [] } };
  test.each([
    ['the first Secret', {}, secret('a', '1'), accessOf(secret('a', '1'))],
    ['one more', accessOf(secret('a', '1')), secret('b', '2'), accessOf(secret('a', '1'), secret('b', '2'))],
    ['a Secret that has changed', accessOf(secret('a', '1')), secret('a', '2'), accessOf(secret('a', '2'))],
    ['that everybody may', accessOf(secret('a', '1')), undefined, open],
  ])('%s', (_, before, use, after) => {
    expect(withAccess(before, REPOSITORY, use)).toEqual(after);
  });

  test.each([
    ['what is known already', accessOf(secret('a', '1')), secret('a', '1')],
    ['a Secret, where everybody may', open, secret('a', '1')],
    ['that everybody may, once more', open, undefined],
  ])('nothing: %s', (_, before, use) => {
    expect(withAccess(before, REPOSITORY, use)).toBe(before);
  });

  test('nothing about the names that other repositories have for the same image', () => {
    expect(withAccess(accessOf(secret('a', '1')), 'r.example/other', undefined)).toEqual({
      ...accessOf(secret('a', '1')),
      'r.example/other': { everybody: true, secrets: [] },
    });
  });

  test('no more than a bounded number of Secrets and names is kept, the latest', () => {
    let access: ImageAccess = {};
    for (let n = 0; n < 250; n++) access = withAccess(access, REPOSITORY, secret(`s${n}`, `${n}`));
    expect(access[REPOSITORY]?.secrets).toHaveLength(100);
    expect(access[REPOSITORY]?.secrets.at(-1)?.name).toBe('s249');
    for (let n = 0; n < 250; n++) access = withAccess(access, `r.example/${n}`, undefined);
    expect(Object.keys(access)).toHaveLength(100);
    expect(access).toHaveProperty(['r.example/249']);
  });
});
