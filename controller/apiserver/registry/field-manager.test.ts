import { expect, it } from 'vitest';
import { fakeContext } from '../testing/fake-request.ts';
import { fieldManagerOf } from './field-manager.ts';

it.each([
  ['the name that the request gives', { headers: { 'user-agent': 'kubectl/v1' } }, 'mine', 'mine'],
  ['the program of the User-Agent', { headers: { 'user-agent': 'kubectl/v1.35 (linux/amd64)' } }, undefined, 'kubectl'],
  ['nobody, for want of one', {}, undefined, 'unknown'],
  ["Kubernetes' name of a component", { peer: { component: 'system:kube-scheduler' } }, undefined, 'kube-scheduler'],
  ['the API server itself', { peer: { component: 'system:apiserver' } }, undefined, 'kube-apiserver'],
  [
    'the program of all controllers',
    { peer: { component: 'system:serviceaccount:kube-system:deployment-controller' } },
    undefined,
    'kube-controller-manager',
  ],
])('fields belong to %s', (_, facts, named, expected) => {
  expect(fieldManagerOf(fakeContext(facts), named)).toBe(expected);
});
