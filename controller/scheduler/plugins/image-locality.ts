import { MAX_NODE_SCORE, type ScorePlugin } from '../framework/plugin.ts';

const MB = 1024 * 1024;
/** Smaller images are pulled in no time. */
const MIN_BYTES = 23 * MB;
const MAX_BYTES_PER_CONTAINER = 1000 * MB;

/** As the node reports it: `nginx` is `nginx:latest`. */
function normalizedImageName(image: string): string {
  return image.lastIndexOf(':') <= image.lastIndexOf('/') ? `${image}:latest` : image;
}

/** Nodes that have the pod's images. An image that few nodes have counts less, so that pods do not crowd on them. */
export const imageLocalityScore: ScorePlugin = {
  name: 'ImageLocality',
  weight: 1,
  prepare({ pod }, view) {
    const containers = [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])];
    const images = containers
      .map(({ image }) => normalizedImageName(image ?? ''))
      .map((name) => ({ name, spread: view.imageNodeCount(name) / Math.max(1, view.nodes.length) }))
      .filter(({ spread }) => spread > 0);
    if (images.length === 0) return undefined;
    const maxBytes = MAX_BYTES_PER_CONTAINER * containers.length;
    return {
      score: (node) => {
        let bytes = 0;
        for (const { name, spread } of images) bytes += Math.floor((node.images.get(name) ?? 0) * spread);
        const bounded = Math.min(Math.max(bytes, MIN_BYTES), maxBytes);
        return Math.floor((MAX_NODE_SCORE * (bounded - MIN_BYTES)) / (maxBytes - MIN_BYTES));
      },
    };
  },
};
