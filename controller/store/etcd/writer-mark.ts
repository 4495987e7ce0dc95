/** White space in JSON; two bits each. */
const SPACES = Uint8Array.of(0x20, 0x09, 0x0a, 0x0d);

/** 40 bits: no two servers of a cluster draw the same. */
const MARK_BYTES = 20;

const CLOSE_BRACE = 0x7d;

/**
 * Who wrote a value, in white space behind it: two servers may write the very same object over the same revision, and when the answer to
 * one of them is lost it must not take the other's write for its own. Whoever reads JSON does not see it. `random` is uniform in [0, 1).
 */
export function drawMark(random: () => number): Uint8Array {
  return Uint8Array.from({ length: MARK_BYTES }, () => SPACES[Math.floor(random() * SPACES.length)]!);
}

export function withMark(plain: Uint8Array, mark: Uint8Array): Uint8Array {
  const marked = new Uint8Array(plain.length + mark.length);
  marked.set(plain);
  marked.set(mark, plain.length);
  return marked;
}

/** The value without the mark of any server of ours; as it is where it has none. A view. */
export function withoutMark(stored: Uint8Array): Uint8Array {
  const end = stored.length - MARK_BYTES;
  if (stored[end - 1] !== CLOSE_BRACE) return stored;
  for (let at = end; at < stored.length; at++) if (!SPACES.includes(stored[at]!)) return stored;
  return stored.subarray(0, end);
}
