// @ts-check
// Samples of a device in blocks of 20 ms at 48 kHz, by cubic interpolation where its rate is another. Pure.

const FRAME = 960;

export class Blocks {
  /** The last three samples and what has come behind them. */
  line = new Float32Array(3 + 4096);
  length = 3;
  at = 1;
  block = new Float32Array(FRAME);
  filled = 0;

  /** @param {number} sampleRate Hz */
  constructor(sampleRate) {
    this.step = sampleRate / 48_000;
  }

  /** @param {Float32Array} samples up to 4,096 @param {(pcm: Float32Array<ArrayBuffer>) => void} take a whole block, which it may keep */
  push(samples, take) {
    const { line } = this;
    line.set(samples, this.length);
    this.length += samples.length;
    for (; Math.floor(this.at) + 2 < this.length; this.at += this.step) {
      const k = Math.floor(this.at);
      const [a, b, c, d, t] = [line[k - 1], line[k], line[k + 1], line[k + 2], this.at - k];
      this.block[this.filled++] = b + t / 2 * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)));
      if (this.filled < FRAME) continue;
      take(this.block);
      this.block = new Float32Array(FRAME);
      this.filled = 0;
    }
    const used = Math.min(Math.floor(this.at) - 1, this.length);
    line.copyWithin(0, used, this.length);
    this.length -= used;
    this.at -= used;
  }
}
