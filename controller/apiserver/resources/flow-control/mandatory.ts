/**
 * The configuration of priority and fairness that no administrator can take away: `exempt` keeps the way in for cluster administrators
 * open, `catch-all` takes what nothing else matches. Whoever creates these objects and the validation of them read the same values.
 */

const ANY = ['*'];

/** spec by name of PriorityLevelConfiguration. */
export const MANDATORY_PRIORITY_LEVELS = {
  exempt: { type: 'Exempt', exempt: { nominalConcurrencyShares: 0, lendablePercent: 0 } },
  'catch-all': {
    type: 'Limited',
    limited: { nominalConcurrencyShares: 5, lendablePercent: 0, limitResponse: { type: 'Reject' } },
  },
} as const;

const everything = {
  resourceRules: [{ verbs: ANY, apiGroups: ANY, resources: ANY, clusterScope: true, namespaces: ANY }],
  nonResourceRules: [{ verbs: ANY, nonResourceURLs: ANY }],
};
const group = (name: string) => ({ kind: 'Group', group: { name } });

/** spec by name of FlowSchema. */
export const MANDATORY_FLOW_SCHEMAS = {
  exempt: {
    priorityLevelConfiguration: { name: 'exempt' },
    matchingPrecedence: 1,
    rules: [{ subjects: [group('system:masters')], ...everything }],
  },
  'catch-all': {
    priorityLevelConfiguration: { name: 'catch-all' },
    matchingPrecedence: 10_000,
    distinguisherMethod: { type: 'ByUser' },
    rules: [{ subjects: [group('system:unauthenticated'), group('system:authenticated')], ...everything }],
  },
} as const;
