import type { ContractCall } from '../contract/contract-target.ts';

/** One bad request. */
export interface FuzzCase extends ContractCall {
  readonly name: string;
  /** `refused`: 4xx with a Status. `answered`: anything but a failure of the server; some of these are odd, but allowed. */
  readonly expect: 'refused' | 'answered';
}

/** A namespace of which nothing is expected afterwards. */
export const NAMESPACE = 'fuzz';
export const CONFIG_MAPS = `/api/v1/namespaces/${NAMESPACE}/configmaps`;
export const DEPLOYMENTS = `/apis/apps/v1/namespaces/${NAMESPACE}/deployments`;
export const PODS = `/api/v1/namespaces/${NAMESPACE}/pods`;
/** There before the first case. */
export const TARGET = `${CONFIG_MAPS}/target`;

export const JSON_TYPE = 'application/json';
export const YAML_TYPE = 'application/yaml';
export const PROTOBUF_TYPE = 'application/vnd.kubernetes.protobuf';

export const refused = (name: string, call: ContractCall): FuzzCase => ({ name, ...call, expect: 'refused' });
export const answered = (name: string, call: ContractCall): FuzzCase => ({ name, ...call, expect: 'answered' });

/** A POST of text as it stands. */
export function post(path: string, body: string | Uint8Array, contentType = JSON_TYPE): ContractCall {
  return { method: 'POST', path, body, headers: { 'content-type': contentType } };
}
