import type { ContainerClaim } from '#api/meta/extended-resources.ts';
import type { PreparedDevice } from './dra-driver.ts';

/** A claim that pods of this node use. */
export interface ClaimRecord {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  /** By pod uid, the names under which the pod's spec speaks of the claim. */
  readonly pods: Readonly<Record<string, readonly string[]>>;
  /** By driver, what it has made ready; a driver that was not asked yet has an empty list. */
  readonly drivers: Readonly<Record<string, readonly PreparedDevice[]>>;
  /** The boot in which all drivers have made it ready: what they tell the runtime does not outlive it. */
  readonly preparedInBoot: string | undefined;
}

/**
 * The devices of a claim that belong to a request. `request/alternative` is one alternative of a request, and whoever asks for the request
 * gets whichever alternative was chosen.
 */
export function devicesOf(record: ClaimRecord, request: string | undefined): readonly PreparedDevice[] {
  const all = Object.values(record.drivers).flat();
  if (request === undefined || request === '') return all;
  return all.filter(
    ({ requestNames }) =>
      requestNames.length === 0 || requestNames.some((name) => name === request || name.startsWith(`${request}/`)),
  );
}

/** Names for the runtime, each once, in the order in which the container asks. */
export function cdiIdsOf(
  records: readonly ClaimRecord[],
  podUid: string,
  asked: readonly ContainerClaim[],
): readonly string[] {
  const ids = asked.flatMap(({ name, request }) =>
    records
      .filter(({ pods }) => pods[podUid]?.includes(name))
      .flatMap((record) => devicesOf(record, request))
      .flatMap(({ cdiIds }) => cdiIds),
  );
  return [...new Set(ids)];
}

export const withPod = (record: ClaimRecord, podUid: string, podClaim: string): ClaimRecord => {
  const names = new Set(record.pods[podUid]).add(podClaim);
  return { ...record, pods: { ...record.pods, [podUid]: [...names] } };
};

export function withoutPod(record: ClaimRecord, podUid: string): ClaimRecord {
  const { [podUid]: _gone, ...pods } = record.pods;
  return { ...record, pods };
}
