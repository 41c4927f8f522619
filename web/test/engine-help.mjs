// What several tests share: the specification's vectors, frames, a deterministic random number.
import fs from 'node:fs';

const spec = fs.readFileSync(new URL('../../protocol/SPEC.md', import.meta.url), 'utf8');

/** Test vectors of protocol/SPEC.md by name. */
export const vectors = new Map([...spec.matchAll(/```text\nvector ([\w-]+)\n([\s\S]*?)```/g)].map(([, name, body]) => {
  const hex = body.replace(/#.*$/gm, '').replace(/\s+/g, '');
  return [name, Uint8Array.from(Buffer.from(hex, 'hex'))];
}));

/** @param {string} heading of a table whose first column has `words` */
export function firstColumn(heading) {
  const part = spec.split(`### ${heading}`)[1].split('\n## ')[0].split('\n### ')[0];
  return [...part.matchAll(/^\| `?([\w]+)`? \| ([^|]*?) \| ([^|]*?) \|/gm)].slice(1).map((row) => row.slice(1));
}

/** Numbers from 0 to 1, the same in each run (mulberry32). */
export function random(seed) {
  let state = seed;
  return () => {
    state = state + 0x6d2b79f5 | 0;
    let t = Math.imul(state ^ state >>> 15, 1 | state);
    t = t + Math.imul(t ^ t >>> 7, 61 | t) ^ t;
    return ((t ^ t >>> 14) >>> 0) / 2 ** 32;
  };
}

/** A frame as it comes out of a datagram. */
export function frame(seq, more = {}) {
  return { track: 1, seq: seq & 0xffff, level: 30, voiced: true, end: false, onset: null, captured: null, error: null, opus: Uint8Array.of(252, 255, 254), ...more };
}

export const hex = (bytes) => Buffer.from(bytes).toString('hex');
