/** Our own version; the same as in package.json (a test compares them). */
export const COMPONENT_VERSION = '0.1.0';
/** The Kubernetes API that we serve. */
export const KUBERNETES_VERSION = 'v1.36.0';
export const GIT_VERSION = `${KUBERNETES_VERSION}+coracle.${COMPONENT_VERSION}`;
