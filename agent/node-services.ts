import type { IpFamily } from '#api/meta/ip-address.ts';
import type { Node } from '#api/object/kinds.ts';
import type { Clock } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import type { AgentConfig } from './config.ts';
import { podRanges } from './family-settings.ts';
import type { Host } from './host/host.ts';
import { launchResolver } from './launch-resolver.ts';
import { type DnsServer, startDnsServer } from './network/dns/dns-server.ts';
import type { NetworkProblem } from './network/network-problem.ts';
import type { NodeInformers } from './network/offline/node-informers.ts';
import { createPolicyEnforcer, type PolicyEnforcer } from './network/policy/policy-enforcer.ts';
import type { PlanChange } from './proxy/change-tracker.ts';
import type { ChosenBackend } from './proxy/choose-backend.ts';
import { createFlowCleaner } from './proxy/conntrack.ts';
import { computeHealthChecks, HealthCheckPorts } from './proxy/health/health-check-ports.ts';
import { ProxyMetrics } from './proxy/health/proxy-metrics.ts';
import { isProxyHealthy, startProxyServers } from './proxy/health/proxy-server.ts';
import { createProxier } from './proxy/proxier.ts';
import { watchRules } from './proxy/rules-monitor.ts';
import { dnsProblem, syncProblem } from './services-problem.ts';

export interface NodeServicesOptions {
  readonly config: AgentConfig;
  readonly nodeName: string;
  readonly host: Host;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface ServicesStart {
  readonly backend: ChosenBackend;
  readonly informers: NodeInformers;
  /** What is in the way of names, policies or Services, by where it comes from; none: nothing any more. */
  readonly tell: (source: string, problems: readonly NetworkProblem[]) => void;
  /** Somebody, perhaps ourselves, changed rules of the kernel. */
  readonly onRulesChanged: (policies: PolicyEnforcer) => void;
  /** Rules of Services were gone; those of policies are put back already. */
  readonly onRulesLost: () => void;
}

/** Names, policies and Services of this node, in the order in which they need each other. The informers are started by the caller. */
export async function startServices(
  options: NodeServicesOptions,
  { backend, informers, tell, onRulesChanged, onRulesLost }: ServicesStart,
  signal: AbortSignal,
): Promise<void> {
  const from = (source: string) => (found: readonly NetworkProblem[]) => tell(source, found);
  const dns = await startDns(options, { informers, onProblems: from('dns') }, signal);
  const policies = startPolicies(options, { informers, dns, onProblems: from('policies') }, signal);
  startProxier({
    ...{ options, backend, informers, dns, signal },
    onProblems: from('services'),
    onRulesChanged: () => onRulesChanged(policies),
    onRulesLost() {
      policies.reassert();
      onRulesLost();
    },
  });
}

const DNS_PORT = 53;

interface DnsStart {
  readonly informers: NodeInformers;
  /** Why names have no answer here; none: they have. */
  readonly onProblems: (problems: readonly NetworkProblem[]) => void;
}

/** Services go on without: whoever runs a DNS of their own needs none here. */
async function startDns(
  { config, host, clock, log }: NodeServicesOptions,
  { informers, onProblems }: DnsStart,
  signal: AbortSignal,
): Promise<DnsServer | undefined> {
  if (config.clusterDns.length === 0) return undefined;
  try {
    return await startDnsServer(
      {
        host,
        clock,
        log: log.child({ component: 'dns' }),
        launch: launchResolver,
        services: informers.services(),
        endpointSlices: informers.endpointSlices(),
        clusterDomain: config.clusterDomain,
        clusterDns: config.clusterDns,
        clusterCidrs: Object.values(podRanges(config.clusterCidr)),
        port: config.dnsPort,
        upstreams: config.dnsUpstreams,
        stubDomains: config.dnsStubDomains,
      },
      signal,
    );
  } catch (err) {
    log.error('the cluster DNS cannot answer on this node', { err: describeError(err) });
    onProblems([dnsProblem(err)]);
    return undefined;
  }
}

interface PoliciesStart extends DnsStart {
  readonly dns: DnsServer | undefined;
}

function startPolicies(
  { config, host, clock, log }: NodeServicesOptions,
  { informers, dns, onProblems }: PoliciesStart,
  signal: AbortSignal,
): PolicyEnforcer {
  const enforcer = createPolicyEnforcer({
    exec: host.exec,
    clock,
    log: log.child({ component: 'policy' }),
    compiled: informers.policies(),
    families: Object.keys(podRanges(config.clusterCidr)) as IpFamily[],
    dns,
    clusterDns: config.clusterDns,
    onProblems,
  });
  enforcer.start(signal);
  return enforcer;
}

interface ProxierStart {
  readonly options: NodeServicesOptions;
  readonly backend: ChosenBackend;
  readonly informers: NodeInformers;
  readonly dns: DnsServer | undefined;
  /** Somebody, perhaps ourselves, changed rules of the kernel. */
  readonly onRulesChanged: () => void;
  readonly onRulesLost: () => void;
  /** Why Services cannot be programmed; none: they are. */
  readonly onProblems: (problems: readonly NetworkProblem[]) => void;
  readonly signal: AbortSignal;
}

function startProxier(start: ProxierStart): void {
  const { options, backend, informers, dns, onRulesChanged, onRulesLost, signal } = start;
  const { nodeName, host, clock, log, config } = options;
  const proxyLog = log.child({ component: 'proxy' });
  const nodes = informers.nodes();
  const metrics = new ProxyMetrics(clock);
  let isNodeEligible = true;
  const healthChecks = new HealthCheckPorts({
    log: proxyLog,
    isHealthy: () => isProxyHealthy(proxier, clock.monotonic()),
  });
  const proxier = createProxier({
    nodeName,
    services: informers.services(),
    endpointSlices: informers.endpointSlices(),
    backend,
    ...(dns === undefined
      ? {}
      : {
          standIn(clusterIp, port) {
            const address = dns.addresses[clusterIp.includes(':') ? 'IPv6' : 'IPv4'];
            if (address === undefined || !config.clusterDns.includes(clusterIp) || port !== DNS_PORT) return undefined;
            return { address, port: dns.port, isLocal: true };
          },
        }),
    clock,
    log: proxyLog,
    watchRules(onChange, until) {
      const onEvent = () => {
        onChange();
        onRulesChanged();
      };
      void watchRules({ exec: host.exec, clock, log: proxyLog, onChange: onEvent }, until);
    },
    watchZone(onZone) {
      const tell = (node: Node) => {
        if (node.metadata.name !== nodeName) return;
        isNodeEligible = isEligible(node);
        onZone(node.metadata.labels?.['topology.kubernetes.io/zone']);
      };
      nodes.addHandler({ onAdd: tell, onUpdate: (_, node) => tell(node), onDelete() {} });
    },
    cleanFlows: createFlowCleaner({ exec: host.exec, log: proxyLog, addresses: () => host.addresses() }),
    onFirstSync: () => backend.cleanOthers(),
    onRulesLost: () => {
      metrics.onRulesLost();
      onRulesLost();
    },
    onSyncFailed(err, failures) {
      const complain = (reason: unknown) =>
        proxyLog.debug('the kernel could not be asked what it lacks', { err: describeError(reason) });
      const failedMs = clock.monotonic();
      backend.findLacks().then((found) => {
        // It may have been brought meanwhile.
        if ((proxier.lastSyncMs ?? 0) < failedMs) start.onProblems(syncProblem(found, err, failures));
      }, complain);
    },
    onSynced(sync) {
      start.onProblems([]);
      metrics.onSynced(sync);
      if (sync.full || sync.changes.some(hasHealthCheck)) healthChecks.apply(computeHealthChecks(sync.plans()));
    },
  });
  proxier.start(signal);
  signal.addEventListener('abort', () => healthChecks.close(), { once: true });
  startProxyServers(
    {
      clock,
      log: proxyLog,
      status: proxier,
      mode: backend.mode,
      isNodeEligible: () => isNodeEligible,
      renderMetrics: async () => metrics.render() + ((await dns?.renderMetrics()) ?? ''),
      healthzPort: config.proxyHealthzPort,
      metricsPort: config.proxyMetricsPort,
    },
    signal,
  );
}

const hasHealthCheck = ({ previous, next }: PlanChange): boolean =>
  (previous?.healthCheckNodePort ?? 0) !== 0 || (next?.healthCheckNodePort ?? 0) !== 0;

/** A node that is being removed gets no new connections of load balancers (KEP-3836). */
function isEligible({ metadata, spec }: Node): boolean {
  const isTaken = spec?.taints?.some(({ key }) => key === 'ToBeDeletedByClusterAutoscaler') ?? false;
  return metadata.deletionTimestamp === undefined && !isTaken;
}
