/** Shuffle sharding: a flow gets a hand of queues by its hash, so that two flows rarely share all of theirs. */

/** 53 bits of the text, as an integer that a Number holds exactly. */
export function hashFlow(text: string): number {
  let low = 0x811c9dc5;
  let high = 0x1b873593;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    low = Math.imul(low ^ code, 0x01000193);
    high = Math.imul(high ^ code, 0x85ebca6b);
    high = (high << 13) | (high >>> 19);
  }
  low = Math.imul(low ^ (low >>> 16), 0xc2b2ae35) >>> 0;
  high = Math.imul(high ^ (high >>> 15), 0x27d4eb2f) >>> 0;
  return (high & 0x1fffff) * 0x1_0000_0000 + low;
}

/** `handSize` different cards of 0 .. deckSize-1, dealt by the digits of `hash` in falling radix. */
export function dealHand(hash: number, deckSize: number, handSize: number): number[] {
  const hand: number[] = [];
  let rest = hash;
  for (let i = 0; i < Math.min(handSize, deckSize); i++) {
    const radix = deckSize - i;
    let card = rest % radix;
    rest = Math.floor(rest / radix);
    // The card counts among those not dealt yet.
    for (const dealt of [...hand].sort((a, b) => a - b)) if (card >= dealt) card++;
    hand.push(card);
  }
  return hand;
}
