import type { Pod } from '#api/object/kinds.ts';
import { BUSYBOX_IMAGE } from '#test/kit/image-archive.ts';

type Spec = NonNullable<Pod['spec']>;

const WEB_PORT = 8080;
/** A Service's port 80 leads to a web pod. */
export const TO_WEB = { port: 80, targetPort: WEB_PORT };

/** What stands for the pods of a test: a web server on the node of that number, with the labels `app: web` and `pod: <name>`. */
interface WebPod {
  readonly apiVersion: 'v1';
  readonly kind: 'Pod';
  readonly metadata: { readonly name: string; readonly labels: Readonly<Record<string, string>> };
  readonly spec: Spec;
}

function webPod(
  name: string,
  node: number,
  container: Partial<Spec['containers'][number]>,
  extra: Partial<Spec>,
): WebPod {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, labels: { app: 'web', pod: name } },
    spec: {
      nodeName: `node-${node}`,
      terminationGracePeriodSeconds: 1,
      containers: [{ name: 'main', image: BUSYBOX_IMAGE, ...container }],
      ...extra,
    },
  };
}

const serve = (prepare: string) => ['sh', '-c', `${prepare}; exec httpd -f -p ${WEB_PORT} -h /tmp`];

/** Answers its name. */
export const namingPod = (name: string, node: number, extra: Partial<Spec> = {}): WebPod =>
  webPod(name, node, { command: serve(`echo ${name} > /tmp/index.html`) }, extra);

/** Answers at /cgi-bin/who its name and who asked; ready once that works by way of its first address. */
export function whoPod(name: string, node: number, extra: Partial<Spec> = {}): WebPod {
  const path = '/cgi-bin/who';
  const script = `#!/bin/sh\\nprintf "Content-Type: text/plain\\\\r\\\\n\\\\r\\\\n${name} $REMOTE_ADDR\\\\n"\\n`;
  const container = {
    command: serve(`mkdir -p /tmp/cgi-bin; printf '${script}' > /tmp${path}; chmod +x /tmp${path}`),
    env: [{ name: 'POD_IPS', valueFrom: { fieldRef: { fieldPath: 'status.podIPs' } } }],
    readinessProbe: { httpGet: { path, port: WEB_PORT }, periodSeconds: 1 },
  };
  return webPod(name, node, container, extra);
}

export const service = (name: string, spec: object) => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name },
  spec,
});
