import { describe, expect, it } from 'vitest';
import { dns1123Subdomain } from '#api/meta/names.ts';
import type { KubeObject, ObjectMeta } from '#api/object/kube-object.ts';
import { metadataErrors, metadataUpdateErrors } from './metadata-validation.ts';
import type { ResourceDefinition } from './resource-definition.ts';

const definition = { validateName: dns1123Subdomain } as unknown as ResourceDefinition;
const object = (metadata: ObjectMeta): KubeObject => ({ apiVersion: 'v1', kind: 'X', metadata });
const lines = (metadata: ObjectMeta) =>
  metadataErrors(definition, object({ name: 'a', ...metadata })).map(({ field, message }) => `${field}: ${message}`);
const owner = { apiVersion: 'apps/v1', kind: 'Deployment', name: 'p', uid: 'u' };

describe('metadata', () => {
  it.each<[what: string, metadata: ObjectMeta, finding: string]>([
    ['a bad name', { name: 'A' }, 'metadata.name: Invalid value: "A": a lowercase RFC 1123 subdomain'],
    [
      'a bad prefix',
      { generateName: 'A-' },
      'metadata.generateName: Invalid value: "A-": a lowercase RFC 1123 subdomain',
    ],
    ['a bad label', { labels: { '-': 'x' } }, 'metadata.labels: Invalid value: "-": name part'],
    [
      'annotations beyond 256 KiB',
      { annotations: { a: 'x'.repeat(262144) } },
      'metadata.annotations: Too long: may not be more than 262144 bytes',
    ],
    [
      'two controllers',
      {
        ownerReferences: [
          { ...owner, controller: true },
          { ...owner, name: 'q', controller: true },
        ],
      },
      'Only one reference can have Controller set to true. Found "true" in references for p and q',
    ],
    [
      'an owner without an API version',
      { ownerReferences: [{ ...owner, apiVersion: '' }] },
      'metadata.ownerReferences.apiVersion: Invalid value: "": version must not be empty',
    ],
    [
      'an owner without a uid',
      { ownerReferences: [{ ...owner, uid: '' }] },
      'metadata.ownerReferences.uid: Invalid value: "": must not be empty',
    ],
    [
      'an Event as owner',
      { ownerReferences: [{ ...owner, apiVersion: 'v1', kind: 'Event' }] },
      '/v1, Kind=Event is disallowed from being an owner',
    ],
    ['a bad finalizer', { finalizers: ['a b'] }, 'metadata.finalizers: Invalid value: "a b"'],
    ['a finalizer of nobody', { finalizers: ['mine'] }, 'neither a standard finalizer name nor is it fully qualified'],
  ])('%s is found', (_, metadata, finding) => {
    expect(lines(metadata).join('\n')).toContain(finding);
  });

  it('that is right is accepted', () => {
    const annotations = { 'Example.com/A': 'b' };
    expect(
      lines({ generateName: 'a-', annotations, finalizers: ['orphan', 'a.b/c'], ownerReferences: [owner] }),
    ).toEqual([]);
  });

  it('of an object that is being deleted takes no new finalizers', () => {
    const dying = { name: 'a', deletionTimestamp: '2026-01-01T00:00:01Z', finalizers: ['a.b/c'] };
    const [error, ...others] = metadataUpdateErrors(object({ ...dying, finalizers: ['x.y/z'] }), object(dying));
    expect(others).toEqual([]);
    expect(error?.message).toContain(
      'no new finalizers can be added if the object is being deleted, found new finalizers []string{"x.y/z"}',
    );
    expect(metadataUpdateErrors(object({ ...dying, finalizers: [] }), object(dying))).toEqual([]);
  });
});
