/** What is in the way of pod traffic on this node, as whoever keeps the pod network tells it. */
export interface NetworkTrouble {
  readonly reason: string;
  readonly cause: string;
  readonly cure: string;
  /** Pods run and reach each other, but something that was asked for is missing. */
  readonly isDegraded: boolean;
}

export interface NetworkVerdict {
  readonly isTrue: boolean;
  readonly reason: string;
  readonly message: string;
}

/**
 * `NetworkUnavailable` keeps pods away from the node, as in Kubernetes; `NetworkDegraded` is ours and does not. undefined: the network is
 * somebody else's, who sets the conditions too. `wasDegraded`: the Node has the second condition, which stays and turns false.
 */
export function networkVerdicts(
  troubles: readonly NetworkTrouble[] | undefined,
  wasDegraded = false,
): Readonly<Record<string, NetworkVerdict>> {
  if (troubles === undefined) return {};
  const degraded = troubles.filter(({ isDegraded }) => isDegraded);
  const severe = troubles.filter(({ isDegraded }) => !isDegraded);
  return {
    NetworkUnavailable: verdict(severe, 'PodNetworkReady', 'pods reach each other on every node'),
    // Not shown where there is nothing to say: other tools know no such condition.
    ...(degraded.length === 0 && !wasDegraded
      ? {}
      : { NetworkDegraded: verdict(degraded, 'NetworkWhole', 'nothing that was asked for is missing') }),
  };
}

function verdict(troubles: readonly NetworkTrouble[], reason: string, message: string): NetworkVerdict {
  const [first] = troubles;
  if (first === undefined) return { isTrue: false, reason, message };
  return {
    isTrue: true,
    reason: first.reason,
    message: troubles.map(({ cause, cure }) => `${cause}; to cure it: ${cure}`).join(' | '),
  };
}
