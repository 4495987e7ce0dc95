import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import { renderTar } from '#agent/host/docker-archive.ts';
import { busyboxEntries, goArchitecture } from './image-archive.ts';
import type { RegistryImage } from './image-registry.ts';

/*
 * A registry of images with busybox, for the network that this process is started in: `<port> <RegistryImage[] as JSON>`. Whoever asks for
 * an image that belongs to somebody must come as that user.
 */

const CONFIG_TYPE = 'application/vnd.oci.image.config.v1+json';
const MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json';
const LAYER_TYPE = 'application/vnd.oci.image.layer.v1.tar';

const digestOf = (data: string | Uint8Array) => `sha256:${createHash('sha256').update(data).digest('hex')}`;

const [port = '', images = '[]'] = process.argv.slice(2);
const layer = renderTar(busyboxEntries());
const blobs = new Map<string, string | Uint8Array>([[digestOf(layer), layer]]);
const owners = new Map<string, string | undefined>();
const manifests = new Map<string, string>();

for (const { repository, owner, stopSignal } of JSON.parse(images) as RegistryImage[]) {
  const config = JSON.stringify({
    architecture: goArchitecture(),
    os: 'linux',
    config: {
      Cmd: ['sleep', 'infinity'],
      Env: ['PATH=/bin', `REPOSITORY=${repository}`],
      ...(stopSignal ? { StopSignal: stopSignal } : {}),
    },
    rootfs: { type: 'layers', diff_ids: [digestOf(layer)] },
  });
  blobs.set(digestOf(config), config);
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType: MANIFEST_TYPE,
    config: { mediaType: CONFIG_TYPE, digest: digestOf(config), size: config.length },
    layers: [{ mediaType: LAYER_TYPE, digest: digestOf(layer), size: layer.length }],
  });
  owners.set(repository, owner);
  manifests.set(`${repository} 1`, manifest);
  manifests.set(`${repository} ${digestOf(manifest)}`, manifest);
}

createServer((request, response) => {
  const [, repository = '', kind, reference = ''] =
    /^\/v2\/(.+)\/(manifests|blobs)\/(.+)$/.exec(request.url ?? '') ?? [];
  const owner = owners.get(repository);
  const isAllowed =
    owner === undefined || request.headers.authorization === `Basic ${Buffer.from(owner).toString('base64')}`;
  if (!isAllowed) {
    response.writeHead(401, { 'www-authenticate': 'Basic realm="test"' }).end();
    return;
  }
  const body = kind === 'blobs' ? blobs.get(reference) : manifests.get(`${repository} ${reference}`);
  if (body === undefined) {
    response.writeHead(kind === undefined ? 200 : 404).end();
    return;
  }
  const type = kind === 'blobs' ? 'application/octet-stream' : MANIFEST_TYPE;
  response.writeHead(200, {
    'content-type': type,
    'content-length': Buffer.byteLength(body),
    'docker-content-digest': digestOf(body),
  });
  response.end(request.method === 'HEAD' ? undefined : body);
}).listen(Number(port), '127.0.0.1', () => {
  const digests = [...manifests].flatMap(([name, manifest]) =>
    name.endsWith(' 1') ? [[name, digestOf(manifest)]] : [],
  );
  console.log(
    JSON.stringify(Object.fromEntries(digests.map(([name = '', digest]) => [name.replace(/ 1$/, ''), digest]))),
  );
});
