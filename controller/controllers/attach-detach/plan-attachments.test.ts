import { expect, it } from 'vitest';
import type { PersistentVolume, Pod, VolumeAttachment } from '#api/object/kinds.ts';
import { MAX_WAIT_MS, type NodeState, planAttachments } from './plan-attachments.ts';

const volumeOf = (mode: string) => ({ metadata: { name: 'v' }, spec: { accessModes: [mode] } }) as PersistentVolume;
const on = (...nodes: string[]) =>
  nodes.map((nodeName, i) => ({ metadata: { name: `p${i}` }, spec: { nodeName, containers: [] } }) as unknown as Pod);
const at = (nodeName: string, deletionTimestamp?: string) =>
  ({ metadata: { name: `to-${nodeName}`, deletionTimestamp }, spec: { nodeName } }) as VolumeAttachment;
const READY: NodeState = { isGone: false, isOff: false, isReady: true, holdsVolume: false };
const GOING = '2026-01-01T00:00:00Z';

interface Case {
  readonly name: string;
  readonly mode?: string;
  readonly pods: readonly Pod[];
  readonly attachments: readonly VolumeAttachment[];
  readonly node?: Partial<NodeState>;
  readonly waitedMs?: number;
  readonly plan: { attach?: string[]; detach?: string[]; held?: string[]; refused?: string[] };
}

it.each<Case>([
  { name: 'a pod comes', pods: on('a'), attachments: [], plan: { attach: ['a'] } },
  { name: 'it is there', pods: on('a', 'a'), attachments: [at('a')], plan: {} },
  { name: 'the last pod is gone', pods: [], attachments: [at('a')], plan: { detach: ['to-a'] } },
  { name: 'its going is under way', pods: [], attachments: [at('a', GOING)], plan: {} },
  { name: 'a pod comes while it goes: made anew afterwards', pods: on('a'), attachments: [at('a', GOING)], plan: {} },
  {
    name: 'the node holds it',
    pods: [],
    attachments: [at('a')],
    node: { holdsVolume: true },
    plan: { held: ['to-a'] },
  },
  {
    name: 'a ready node is waited for as long as it takes',
    pods: [],
    attachments: [at('a')],
    node: { holdsVolume: true },
    waitedMs: MAX_WAIT_MS * 10,
    plan: { held: ['to-a'] },
  },
  {
    name: 'a silent node is not waited for for ever',
    pods: [],
    attachments: [at('a')],
    node: { holdsVolume: true, isReady: false },
    waitedMs: MAX_WAIT_MS,
    plan: { detach: ['to-a'] },
  },
  {
    name: 'nor one that is off',
    pods: [],
    attachments: [at('a')],
    node: { holdsVolume: true, isOff: true },
    plan: { detach: ['to-a'] },
  },
  {
    name: 'a node that is gone may run on: it is waited for as a silent one',
    pods: [],
    attachments: [at('a')],
    node: { isGone: true, isReady: false },
    waitedMs: MAX_WAIT_MS - 1,
    plan: { held: ['to-a'] },
  },
  {
    name: 'and no longer',
    pods: [],
    attachments: [at('a')],
    node: { isGone: true, isReady: false },
    waitedMs: MAX_WAIT_MS,
    plan: { detach: ['to-a'] },
  },
  {
    name: 'nothing is attached to a node that is gone',
    pods: on('a'),
    attachments: [],
    node: { isGone: true, isReady: false },
    plan: {},
  },
  {
    name: 'nothing is attached to a node that is off',
    pods: on('a'),
    attachments: [],
    node: { isOff: true },
    plan: {},
  },
  {
    name: 'one node alone, which is another',
    pods: on('b'),
    attachments: [at('a')],
    node: { holdsVolume: true },
    plan: {
      held: ['to-a'],
      refused: [
        'p0: Multi-Attach error for volume "v" Volume is already exclusively attached to one node and can\'t be attached to another',
      ],
    },
  },
  {
    name: 'one node alone, for pods on two',
    pods: on('a', 'b'),
    attachments: [],
    plan: { attach: ['a'], refused: ['p1: Multi-Attach error for volume "v" Volume is already used by pod(s) p0'] },
  },
  {
    name: 'many nodes',
    mode: 'ReadWriteMany',
    pods: on('a', 'b'),
    attachments: [at('a')],
    plan: { attach: ['b'] },
  },
])('$name', ({ mode = 'ReadWriteOnce', pods, attachments, node, waitedMs = 0, plan }) => {
  const made = planAttachments({
    volume: volumeOf(mode),
    pods,
    attachments,
    node: () => ({ ...READY, ...node }),
    waitedMs: () => waitedMs,
  });
  const names = (all: readonly VolumeAttachment[]) => all.map(({ metadata }) => metadata.name);
  expect({
    attach: made.attach,
    detach: names(made.detach),
    held: names(made.held),
    refused: made.refused.map(({ pod, message }) => `${pod.metadata.name}: ${message}`),
  }).toEqual({ attach: [], detach: [], held: [], refused: [], ...plan });
});
