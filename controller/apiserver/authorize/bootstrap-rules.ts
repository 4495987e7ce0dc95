import type { PolicyRule } from './rule-resolver.ts';

/** `core` stands for the group without a name; several words in one string save quotes in long tables. */
const words = (text: string): string[] => text.split(' ').map((word) => (word === 'core' ? '' : word));

/** A resource rule: verbs, API groups, resources and, where given, object names, each a list of words. */
export function allow(verbs: string, groups: string, resourceNames: string, names?: string): PolicyRule {
  return {
    verbs: words(verbs),
    apiGroups: words(groups),
    resources: words(resourceNames),
    ...(names === undefined ? {} : { resourceNames: names.split(' ') }),
  };
}

export const allowPaths = (verbs: string, paths: string): PolicyRule => ({
  verbs: words(verbs),
  nonResourceURLs: paths.split(' '),
});

export const READ = 'get list watch';
export const WRITE = 'create delete deletecollection patch update';
export const READ_WRITE = `${READ} ${WRITE}`;

export const EVENTS = allow('create patch update', 'core events.k8s.io', 'events');
