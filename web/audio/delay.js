// @ts-check
// Delay of playout: how late frames come, and so for how long the first of them has to wait. Pure.

/** Frames whose lateness is remembered: five seconds of speech. */
const WINDOW = 250;
/** Share of frames that are to come in time. */
const IN_TIME = 0.98;
/** Live: before anything is measured; the least; the most, beyond which people interrupt each other (ITU-T G.114). */
const LIVE = { initial: 50, min: 25, max: 400 };
/** Beyond what was measured: a render quantum, and the jitter of decoding and of messages between threads. */
const MARGIN = 15;
/** A frame that is so much later than others belongs to a clock that has been set. */
const ANOTHER_CLOCK = 1000;

/** @param {number} fixed */
function boundsOf(fixed) {
  return fixed ? { initial: fixed, min: fixed, max: fixed + 500 } : LIVE;
}

/** Times are milliseconds. A *transit* is an arrival minus its place on the media clock; only differences count. */
export class Delay {
  /** @type {number[]} */
  transits = [];
  quickest = 0;
  since = 0;

  /** @param {number} fixed least delay of an audience; 0: live */
  constructor(fixed) {
    this.fixed = fixed;
    this.bounds = boundsOf(fixed);
    /** Wanted between the quickest frame's arrival and its playout. */
    this.target = this.bounds.initial;
  }

  /** @param {number} fixed */
  set(fixed) {
    this.fixed = fixed;
    this.bounds = boundsOf(fixed);
    this.target = this.bounds.initial;
    if (this.transits.length >= WINDOW / 5) this.#measure();
  }

  /** @param {number} transit @returns {number} how much later than the quickest it is */
  record(transit) {
    if (this.transits.length && Math.abs(transit - this.quickest) > ANOTHER_CLOCK) this.transits = [];
    this.transits.push(transit);
    if (this.transits.length > WINDOW) this.transits.shift();
    if (this.transits.length === 1 || transit < this.quickest) this.quickest = transit;
    if (++this.since >= 10) this.#measure();
    return transit - this.quickest;
  }

  /** A frame came too late to be heard, where it would have needed such a delay. @param {number} needed */
  recordLate(needed) {
    this.transits.push(this.quickest + Math.min(needed, this.bounds.max));
    if (this.transits.length > WINDOW) this.transits.shift();
    this.#measure();
  }

  #measure() {
    this.since = 0;
    const sorted = this.transits.slice().sort((a, b) => a - b);
    this.quickest = sorted[0];
    const late = sorted[Math.floor((sorted.length - 1) * IN_TIME)] - this.quickest + MARGIN;
    const { min, max } = this.bounds;
    const wanted = Math.min(Math.max(late, min), max);
    // What is known of a second only is no reason to wait less.
    if (wanted > this.target || sorted.length >= WINDOW / 5) this.target = wanted;
  }
}
