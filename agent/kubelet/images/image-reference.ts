/** A reference taken apart and completed: `nginx` -> docker.io / library/nginx / latest. */
export interface ImageReference {
  /** With port; `docker.io` when the user named none. */
  readonly domain: string;
  readonly repository: string;
  readonly tag: string | undefined;
  /** `sha256:<hex>` */
  readonly digest: string | undefined;
}

const DEFAULT_DOMAIN = 'docker.io';
const DOMAIN =
  /^(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[[0-9a-fA-F:]+\])(?::\d+)?$/;
const PATH_ELEMENT = /^[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*$/;
const TAG = /^\w[\w.-]{0,127}$/;
const DIGEST = /^[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}$/;
const MAX_REPOSITORY = 255;

/** The grammar of distribution/reference with Docker's defaults; undefined for what it does not accept. */
export function parseImageReference(text: string): ImageReference | undefined {
  const [beforeDigest = '', digest, ...more] = text.split('@');
  if (more.length > 0 || (digest !== undefined && !DIGEST.test(digest))) return undefined;
  const colon = beforeDigest.lastIndexOf(':');
  const hasTag = colon > beforeDigest.lastIndexOf('/');
  const tag = hasTag ? beforeDigest.slice(colon + 1) : undefined;
  if (tag !== undefined && !TAG.test(tag)) return undefined;
  const { domain, path } = splitDomain(hasTag ? beforeDigest.slice(0, colon) : beforeDigest);
  if (!DOMAIN.test(domain) || path.length > MAX_REPOSITORY) return undefined;
  if (!path.split('/').every((element) => PATH_ELEMENT.test(element))) return undefined;
  return { domain, repository: path, tag: tag ?? (digest === undefined ? 'latest' : undefined), digest };
}

/** The first element is a registry only if it looks like a host: it has a dot or a port, or is `localhost`. */
function splitDomain(name: string): { domain: string; path: string } {
  const slash = name.indexOf('/');
  const first = slash < 0 ? '' : name.slice(0, slash);
  const isDomain = /[.:]/.test(first) || first === 'localhost' || first !== first.toLowerCase();
  const rawDomain = isDomain ? first : DEFAULT_DOMAIN;
  const domain = rawDomain === 'index.docker.io' ? DEFAULT_DOMAIN : rawDomain;
  const path = isDomain ? name.slice(slash + 1) : name;
  return { domain, path: domain === DEFAULT_DOMAIN && !path.includes('/') ? `library/${path}` : path };
}

export function formatImageReference({ domain, repository, tag, digest }: ImageReference): string {
  return `${domain}/${repository}${tag === undefined ? '' : `:${tag}`}${digest === undefined ? '' : `@${digest}`}`;
}

/** With its domain, without tag and digest: what Kubernetes calls the name of an image. */
export const repositoryOf = ({ domain, repository }: ImageReference) => `${domain}/${repository}`;
