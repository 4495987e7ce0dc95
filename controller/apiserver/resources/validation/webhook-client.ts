import { dns1123Subdomain, portNumber } from '#api/meta/names.ts';
import { type FieldError, invalid, required } from '#api/object/field-error.ts';

/** How the API server reaches a webhook; the same in admission and in the conversion of custom resources. */
export interface WebhookClientConfigLike {
  readonly url?: string;
  readonly service?: {
    readonly name?: string;
    readonly namespace?: string;
    readonly path?: string;
    readonly port?: number;
  };
}

const URL_FORM = '; desired format: https://host[/path]';

function validateWebhookUrl(text: string, path: string): FieldError[] {
  const url = URL.parse(text);
  if (url === null) return [required(path, `url must be a valid URL: parse ${JSON.stringify(text)}${URL_FORM}`)];
  const errors: FieldError[] = [];
  const scheme = url.protocol.slice(0, -1);
  const user = url.password === '' ? url.username : `${url.username}:${url.password}`;
  if (scheme !== 'https') errors.push(invalid(path, scheme, `'https' is the only allowed URL scheme${URL_FORM}`));
  if (url.host === '') errors.push(invalid(path, url.host, `host must be specified${URL_FORM}`));
  if (user !== '') errors.push(invalid(path, user, 'user information is not permitted in the URL'));
  if (url.hash !== '') errors.push(invalid(path, url.hash.slice(1), 'fragments are not permitted in the URL'));
  if (url.search !== '')
    errors.push(invalid(path, url.search.slice(1), 'query parameters are not permitted in the URL'));
  return errors;
}

function validateWebhookPath(text: string, path: string): FieldError[] {
  if (text === '' || text === '/') return [];
  if (text === '//') return [invalid(path, text, 'segment[0] may not be empty')];
  const errors = text.startsWith('/') ? [] : [invalid(path, text, "must start with a '/'")];
  const body = text.slice(1);
  const segments = (body.endsWith('/') ? body.slice(0, -1) : body).split('/');
  for (const [i, segment] of segments.entries()) {
    if (segment === '') errors.push(invalid(path, text, `segment[${i}] may not be empty`));
    else for (const message of dns1123Subdomain(segment)) errors.push(invalid(path, text, `segment[${i}]: ${message}`));
  }
  return errors;
}

/** Exactly one of a URL and a Service. */
export function validateWebhookClientConfig(config: WebhookClientConfigLike | undefined, path: string): FieldError[] {
  const { url, service } = config ?? {};
  if ((url === undefined) === (service === undefined)) {
    return [required(path, 'exactly one of url or service is required')];
  }
  if (url !== undefined) return validateWebhookUrl(url, `${path}.url`);
  const errors: FieldError[] = [];
  const { name, namespace, path: urlPath, port = 443 } = service ?? {};
  if (!name) errors.push(required(`${path}.service.name`, 'service name is required'));
  if (!namespace) errors.push(required(`${path}.service.namespace`, 'service namespace is required'));
  const portErrors = portNumber(port);
  if (portErrors.length > 0) {
    errors.push(invalid(`${path}.service.port`, port, `port is not valid: ${portErrors.join(',')}`));
  }
  return urlPath === undefined ? errors : [...errors, ...validateWebhookPath(urlPath, `${path}.service.path`)];
}

/** A domain of three parts or more: the names of webhooks. */
export function validateFullyQualifiedName(name: string, path: string): FieldError[] {
  if (name === '') return [required(path)];
  const messages = dns1123Subdomain(name);
  if (messages.length > 0) return [invalid(path, name, messages.join(','))];
  return name.split('.').length < 3
    ? [invalid(path, name, 'should be a domain with at least three segments separated by dots')]
    : [];
}
