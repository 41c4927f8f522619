// @ts-check
// Opus to samples: one decoder a track. The decoder is given, so that its faults can be tried.

/** Frames inside a decoder: half a second. */
const MAX_INSIDE = 25;
/** Frames that wait for it: a replay of two seconds comes at once, and half as much again. */
const MAX_WAITING = 150;
/** A decoder that has frames and gives none for so long hangs, or has swallowed them, ms. */
const HANGS = 500;
/** A decoder with nothing to do is closed, ms. */
const IDLE = 10_000;
const CONFIG = { codec: 'opus', sampleRate: 48_000, numberOfChannels: 1 };

/**
 * @typedef {import('./receive.js').Placed} Placed
 * @typedef {{output: (pcm: Float32Array) => void, error: (error: unknown) => void}} Outlets
 * @typedef {{decode: (opus: Uint8Array, timestamp: number) => void, flush: () => Promise<void>, close: () => void}} Machine
 */

/** A decoder of WebCodecs. @param {Outlets} outlets @returns {Machine} */
export function openDecoder({ output, error }) {
  const decoder = new AudioDecoder({
    output: (data) => {
      const pcm = new Float32Array(data.numberOfFrames);
      data.copyTo(pcm, { planeIndex: 0, format: 'f32-planar' });
      data.close();
      output(pcm);
    },
    error,
  });
  decoder.configure(CONFIG);
  return {
    decode: (data, timestamp) => decoder.decode(new EncodedAudioChunk({ type: 'key', timestamp, data })),
    flush: () => decoder.flush(),
    close: () => decoder.state !== 'closed' && decoder.close(),
  };
}

/** Decoder of one track. What goes in comes out in order, and a packet that cannot be decoded as null. */
export class Decoding {
  /** Packets in the decoder, oldest first: its own timestamps are not to be relied on. @type {Placed[]} */
  inside = [];
  /** @type {Machine|null} */
  machine = null;
  /** Frames that are not in it yet, oldest first. @type {Placed[]} */
  waiting = [];
  usedAt = 0;
  /** When it last gave a frame, or was given the first, ms. */
  movedAt = 0;
  count = 0;
  errors = 0;

  /** @param {(frame: Placed, pcm: Float32Array|null) => void} output @param {(outlets: Outlets) => Machine} open */
  constructor(output, open = openDecoder) {
    this.output = output;
    this.open = open;
  }

  /** @param {number} now ms @param {Placed} frame in order of place */
  push(now, frame) {
    this.usedAt = now;
    this.waiting.push(frame);
    if ((this.inside.length && now - this.movedAt > HANGS) || this.waiting.length > MAX_WAITING) this.#fail();
    else this.#feed();
  }

  #feed() {
    while (this.waiting.length && this.inside.length < MAX_INSIDE) {
      const frame = /** @type {Placed} */ (this.waiting.shift());
      if (frame.opus.length === 0 && this.inside.length === 0) {
        this.output(frame, null);
        continue;
      }
      if (this.inside.length === 0) this.movedAt = this.usedAt;
      this.inside.push(frame);
      if (frame.opus.length) this.#decode(frame);
      if (frame.end) this.#flush();
    }
  }

  /** @param {Placed} frame */
  #decode(frame) {
    try {
      if (!this.machine) this.#open();
      this.machine?.decode(frame.opus, this.count++ * 20_000);
    } catch {
      this.#fail();
    }
  }

  #open() {
    /** @type {Machine} */
    const machine = this.open({
      output: (pcm) => machine === this.machine && this.#take(pcm),
      error: () => machine === this.machine && this.#fail(),
    });
    this.machine = machine;
  }

  /** @param {Float32Array} pcm */
  #take(pcm) {
    const frame = this.inside.shift();
    if (frame) this.output(frame, pcm);
    this.movedAt = this.usedAt;
    this.#passMarks();
    this.#feed();
  }

  #passMarks() {
    while (this.inside[0]?.opus.length === 0) this.output(/** @type {Placed} */ (this.inside.shift()), null);
  }

  /** At the end of a talkspurt all that is inside comes out; what does not has been swallowed. */
  #flush() {
    const { machine } = this;
    const last = this.inside.at(-1);
    machine?.flush().then(() => {
      if (machine !== this.machine || !last || !this.inside.includes(last)) return;
      while (this.inside.length) {
        const frame = /** @type {Placed} */ (this.inside.shift());
        this.output(frame, null);
        if (frame === last) break;
      }
      this.#feed();
    }, () => {});
  }

  /** The oldest packet inside is at fault: a new decoder goes on behind it. */
  #fail() {
    this.errors++;
    this.close();
    const [broken, ...rest] = this.inside;
    this.inside = [];
    this.movedAt = this.usedAt;
    if (broken) this.output(broken, null);
    this.waiting.unshift(...rest);
    this.#feed();
  }

  /** @param {number} now */
  tick(now) {
    if (this.machine && this.inside.length + this.waiting.length === 0 && now - this.usedAt > IDLE) this.close();
  }

  close() {
    const { machine } = this;
    this.machine = null;
    try {
      machine?.close();
    } catch { /* It has closed itself. */ }
  }
}
