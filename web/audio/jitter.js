// @ts-check
// Jitter buffer of one track, and its voice at the rate of the device. Pure: time is what is pulled, at 48 kHz.
import { Delay } from './delay.js';
import { Conceal, lengthen, shorten } from './stretch.js';

const FRAME = 960;
const PERIOD = 20;
/** Samples of which silence and waiting are made. */
const STEP = 120;
/** Nothing for so long, inside a talkspurt, is a standstill: 100 ms. */
const STARVED = 4800;
/** A stream keeps for so long to the delay that it began with, unless a pause comes: 8 s. */
const BEGUN = 8 * 48_000;
/** Of a delay, ms, before it is heard. */
const TOO_LONG = 40;
/** Places after which clocks may have drifted apart: 30 s. */
const MAX_SILENCE = 1500;
/** Frames that wait; more than the longest delay. */
const MAX_FRAMES = 160;
/** The most that the rate is changed for drifting clocks: ±0.2 % is heard by nobody. */
const MAX_RATE = 0.002;

/**
 * @typedef {object} Sound one frame, decoded
 * @property {number} place sequence number without wrap-around
 * @property {Float32Array|null} pcm 960 samples; null: a mark, or a frame that could not be decoded
 * @property {boolean} end silence follows
 * @property {number} level −dBov
 * @property {boolean} voiced
 * @property {number} at arrival, ms, by the worker's clock
 * @property {number} held ms from its arrival to now
 * @property {number|null} captured origin time, µs
 * @property {number|null} error µs
 */

export class JitterBuffer {
  /** @type {Map<number, Sound & {pushed: number}>} */
  frames = new Map();
  conceal = new Conceal();
  /** @type {'empty'|'waiting'|'playing'} */
  state = 'empty';
  /** Place that is pulled next, or at the earliest. */
  next = -1;
  wait = 0;
  starved = 0;
  /** Samples pulled. */
  clock = 0;
  moved = 0;
  /** Measured delay of playout, ms. */
  measured = 0;
  /** @type {{place: number, clock: number}|null} */
  silence = null;
  /** The frame that is heard, for meters and latency. @type {Sound|null} */
  heard = null;
  counts = { played: 0, concealed: 0, late: 0, underruns: 0, stretched: 0 };

  /** @param {number} fixed delay of an audience, ms; 0: live */
  constructor(fixed) {
    this.delay = new Delay(fixed);
  }

  /**
   * @param {Sound} sound
   * @param {number} [pending] samples that were pulled and are not heard yet
   */
  push(sound, pending = 0) {
    const late = this.delay.record(sound.at - sound.place * PERIOD);
    const isOld = sound.place < this.next && !(this.state === 'empty' && sound.place === this.next - 1);
    if (this.state !== 'empty' || isOld) {
      const slack = (sound.place - this.next) * PERIOD + (pending + (this.state === 'waiting' ? this.wait : -this.starved)) / 48;
      const needed = slack + late + sound.held;
      if (isOld) {
        if (this.state === 'empty') return;
        this.counts.late++;
        this.delay.recordLate(needed - slack);
        return;
      }
      this.measured += (needed - this.measured) / 8;
      // While nothing is heard yet a delay that is too long can still be made shorter: the device has stood still.
      const over = this.state === 'waiting' ? Math.min(this.wait, Math.round((this.measured - this.delay.target - TOO_LONG) * 48)) : 0;
      if (over > 0) {
        this.wait -= over;
        this.measured -= over / 48;
      }
    }
    this.frames.set(sound.place, { ...sound, pushed: this.clock });
    if (this.frames.size > MAX_FRAMES) this.#dropTo(this.#first() + MAX_FRAMES / 2);
    if (this.state === 'empty') this.#schedule(this.clock, late);
  }

  /** Relative rate at which to play, so that the delay becomes what it should be. */
  get rate() {
    const off = this.state === 'playing' ? this.measured - this.delay.target : 0;
    const beyond = Math.sign(off) * Math.max(0, Math.abs(off) - (this.delay.fixed ? 40 : 6));
    return 1 + Math.max(-MAX_RATE, Math.min(MAX_RATE, beyond * 2e-4));
  }

  /** @returns {Float32Array} the next samples; of any number from 1 on */
  pull() {
    const out = this.#take();
    this.clock += out.length;
    return out;
  }

  #take() {
    if (this.state === 'empty') return this.conceal.continue(STEP);
    if (this.state === 'waiting') {
      const count = Math.min(STEP, this.wait);
      this.wait -= count;
      if (this.wait === 0) this.state = 'playing';
      return this.conceal.continue(Math.max(count, 1));
    }
    const frame = this.frames.get(this.next);
    if (!frame) return this.#makeUp();
    this.starved = 0;
    this.frames.delete(this.next++);
    this.heard = frame;
    const { pcm } = frame;
    if (pcm) this.counts.played++;
    else if (!frame.end) this.counts.concealed++;
    const out = pcm ? this.conceal.join(this.#fit(pcm)) : this.conceal.continue(frame.end ? STEP : FRAME);
    const after = this.clock + out.length;
    // A mark's own period is silence already.
    if (frame.end) this.#finish(after, pcm ? { place: this.next, clock: after } : { place: this.next - 1, clock: this.clock });
    return out;
  }

  /** Nothing has come for a place: its period is made up, and if something has come for a later one, used up. */
  #makeUp() {
    const first = this.#first();
    if (first === Infinity) {
      this.starved += STEP;
      if (this.starved > STARVED) {
        this.counts.underruns++;
        this.#finish(this.clock + STEP, null);
      } else if (this.starved % FRAME === STEP) this.counts.concealed++;
      return this.conceal.continue(STEP);
    }
    // What has been waited for is part of the loss: the delay stays.
    const lost = (first - this.next) * FRAME;
    const used = Math.min(this.starved, lost);
    const count = (lost - used) % FRAME || Math.min(FRAME, lost - used);
    this.starved -= used;
    this.next += Math.floor(used / FRAME);
    if (count === 0) {
      this.next = first;
      return this.conceal.continue(1);
    }
    if (used % FRAME === 0) this.counts.concealed++;
    this.next++;
    return this.conceal.continue(count);
  }

  /** @param {number} now as `clock` will be @param {{place: number, clock: number}|null} silence where it begins; null: nothing has come */
  #finish(now, silence) {
    this.silence = silence;
    this.conceal.end();
    this.heard = null;
    this.state = 'empty';
    this.starved = 0;
    const first = this.#first();
    if (first === Infinity) return;
    const { at, place } = /** @type {Sound} */ (this.frames.get(first));
    this.#schedule(now, at - place * PERIOD - this.delay.quickest);
  }

  /**
   * A talkspurt begins after as much silence as it was spoken after, unless the delay should be another: then the
   * first frame waits as long as the slowest ones take.
   * @param {number} now samples @param {number} late ms
   */
  #schedule(now, late) {
    const { silence, next: earliest, delay: { target, fixed } } = this;
    const first = this.#first();
    const { held, pushed } = /** @type {Sound & {pushed: number}} */ (this.frames.get(first));
    const waited = (now - pushed) / 48;
    const natural = silence ? silence.clock + (first - silence.place) * FRAME - now : -1;
    const isRight = Math.abs(this.measured - target) < (fixed ? 40 : 10) && first - earliest < MAX_SILENCE;
    this.next = first;
    if (natural >= 0 && isRight) this.wait = natural;
    else {
      this.wait = Math.max(0, Math.round((target - late - held - waited) * 48));
      this.measured = this.wait / 48 + late + held + waited;
    }
    this.state = this.wait ? 'waiting' : 'playing';
  }

  /** Makes sound shorter or longer where the delay is far from what it should be. @param {Float32Array} pcm */
  #fit(pcm) {
    const off = this.measured - this.delay.target;
    // An audience has time until the next pause. Of a live delay, one that is too short costs frames, one that is too long only time.
    const quiet = !this.heard?.voiced || this.heard.level > 50;
    const least = this.delay.fixed ? (quiet ? 60 : 200) : off < 0 ? 10 : 30;
    if (Math.abs(off) < least || this.clock - this.moved < (quiet ? 2 : off > 200 ? 4 : 10) * FRAME) return pcm;
    if (off > 0 && this.clock < BEGUN) return pcm;
    let out = pcm;
    if (off < 0) out = lengthen(pcm);
    else {
      const second = this.frames.get(this.next);
      if (!second?.pcm || second.end) return pcm;
      const both = new Float32Array(2 * FRAME);
      both.set(pcm);
      both.set(second.pcm, FRAME);
      out = shorten(both);
      this.frames.delete(this.next++);
      this.counts.played++;
      this.measured -= (2 * FRAME - out.length) / 48;
    }
    if (off < 0) this.measured += (out.length - FRAME) / 48;
    this.moved = this.clock;
    this.counts.stretched++;
    return out;
  }

  #first() {
    let first = Infinity;
    for (const place of this.frames.keys()) if (place < first) first = place;
    return first;
  }

  /** @param {number} place */
  #dropTo(place) {
    for (const old of this.frames.keys()) if (old < place) this.frames.delete(old);
    if (this.next < place) this.next = place;
    this.counts.stretched++;
  }
}

/** A track at the rate of the device, by cubic interpolation (Catmull and Rom). */
export class Voice {
  line = new Float32Array(8192);
  length = 3;
  /** Where it is read, between the samples before and after. */
  at = 1;

  /** @param {JitterBuffer} buffer @param {number} sampleRate of the device, Hz */
  constructor(buffer, sampleRate) {
    this.buffer = buffer;
    this.ratio = 48_000 / sampleRate;
  }

  /** Samples at 48 kHz that were pulled and are not heard yet. */
  get pending() {
    return this.length - this.at;
  }

  /** @param {Float32Array} out what is heard is added to it */
  mix(out) {
    const { line } = this;
    let step = this.ratio * this.buffer.rate;
    for (let i = 0; i < out.length; i++) {
      const k = Math.floor(this.at);
      if (k + 2 >= this.length) {
        this.#fill(k);
        step = this.ratio * this.buffer.rate;
        i--;
        continue;
      }
      const [a, b, c, d, t] = [line[k - 1], line[k], line[k + 1], line[k + 2], this.at - k];
      out[i] += b + t / 2 * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)));
      this.at += step;
    }
  }

  /** @param {number} k what is before its predecessor is not needed any more */
  #fill(k) {
    const more = this.buffer.pull();
    if (this.length + more.length > this.line.length) {
      this.line.copyWithin(0, k - 1, this.length);
      this.length -= k - 1;
      this.at -= k - 1;
    }
    this.line.set(more, this.length);
    this.length += more.length;
  }
}

/** Keeps a sum of voices within full scale, without a corner. @param {number} x */
export function limit(x) {
  const over = Math.abs(x) - 0.8;
  return over <= 0 ? x : Math.sign(x) * (0.8 + 0.2 * Math.tanh(over / 0.2));
}
