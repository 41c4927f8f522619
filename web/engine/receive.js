// @ts-check
// Reception of one track: each frame once, in order, as soon as its turn has come or waiting for one
// before it is of no use any more. Pure; times are milliseconds.
import { Repair } from './repair.js';
import { distance } from './wire.js';

const PERIOD = 20;
/** Places that are remembered: two seconds, as long as a relay keeps any, and some. */
const SEEN = 128;
/** A gap longer than this, without an end before it, is a silence whose mark got lost. */
const MAX_GAP = 100;
/** Time that decoding and the way to the ear take, ms: a frame is let go so long before its turn. */
export const LEAD = 12;

/**
 * @typedef {import('./wire.js').Frame} Frame
 * @typedef {import('./wire.js').Source} Source
 * @typedef {Frame & {place: number, at: number}} Placed `place`: seq without wrap-around; `at`: when it came
 */

export class Receiver {
  newest = -1;
  newestSeq = 0;
  ended = true;
  heardAt = 0;
  /** The place seen last at each index of the ring. */
  seen = new Float64Array(SEEN).fill(-1);
  /** Frames that wait for one before them. @type {Map<number, Placed>} */
  held = new Map();
  /** Place that is next to be let go, while its talkspurt lasts. @type {number|null} */
  next = null;
  /** Everything before has been let go, or given up. */
  released = -1;
  /** Place of a mark that has been let go; a frame may yet come in it. */
  markedAt = -1;
  /** When the place `turn.place` is heard. @type {{place: number, at: number}|null} */
  turn = null;
  /** Frames that came after their turn, for whoever chooses the delay. @type {{track: number, place: number, at: number}[]} */
  late = [];
  counts = { received: 0, lost: 0, repaired: 0, answered: 0, late: 0, runs: 0, duplicate: 0 };

  /** @param {import('./repair.js').Reach} reach @param {number} patience how long a frame is waited for while nothing is heard yet */
  constructor(reach, patience) {
    this.repair = new Repair(reach);
    this.patience = patience;
  }

  /** @param {number} seq */
  #placeOf(seq) {
    if (this.newest < 0) return 65536 + seq;
    const ahead = distance(this.newestSeq, seq);
    // One that is far behind has been numbered anew.
    return this.newest + (ahead <= -SEEN ? ahead + 65536 : ahead);
  }

  /**
   * Takes a frame. A mark stands for a frame that may yet come whole.
   * @param {number} now @param {Frame} frame @param {Source} source
   * @returns {number} its place
   */
  handleFrame(now, frame, source) {
    const place = this.#placeOf(frame.seq);
    const isMark = frame.opus.length === 0;
    if (this.seen[place % SEEN] === place) {
      if (source !== 'again') this.counts.duplicate++;
      this.repair.handleDuplicate(now, place, source);
      return place;
    }
    if (!isMark) this.seen[place % SEEN] = place;
    if (place > this.newest) {
      if (this.newest >= 0 && !this.ended && place - this.newest <= MAX_GAP) this.counts.runs += place > this.newest + 1 ? 1 : 0;
      [this.newest, this.newestSeq, this.ended] = [place, frame.seq, frame.end];
    }
    this.heardAt = now;
    if (this.repair.handleFrame(now, { place, end: frame.end, onset: frame.onset }, source)) {
      this.counts.repaired++;
      if (source === 'repair') this.counts.answered++;
    }
    if (!isMark) this.counts.received++;
    if (place < this.released || isMark && place === this.markedAt) {
      if (!isMark) {
        this.counts.late++;
        this.late.push({ track: frame.track, place, at: now });
      }
      return place;
    }
    this.held.set(place, { ...frame, place, at: now });
    if (this.held.size > SEEN) this.held.delete(Math.min(...this.held.keys()));
    return place;
  }

  /**
   * Frames whose turn has come, in order; between two of them, up to the gap's length, others are lost.
   * @param {number} now
   * @returns {Placed[]}
   */
  poll(now) {
    const out = [];
    while (this.held.size) {
      const first = Math.min(...this.held.keys());
      const frame = /** @type {Placed} */ (this.held.get(first));
      if (!this.#mayGo(now, frame)) break;
      this.#skipTo(first);
      this.held.delete(first);
      this.markedAt = frame.opus.length ? -1 : first;
      this.released = frame.opus.length ? first + 1 : first;
      this.next = frame.end ? null : first + 1;
      out.push(frame);
    }
    return out;
  }

  /** @param {number} now @param {Placed} frame the first that is held */
  #mayGo(now, frame) {
    const { place, onset } = frame;
    let missing = place;
    if (this.next !== null && place - this.next <= MAX_GAP) missing = this.next;
    else if (onset) missing = Math.max(place - onset, this.released, 0);
    if (missing >= place) return true;
    if (this.turn) {
      const due = this.turn.at + (missing - this.turn.place) * PERIOD;
      if (this.next !== null || due > frame.at) return now >= due - LEAD;
    }
    return now >= frame.at + this.patience;
  }

  /** @param {number} place what is before it is given up */
  #skipTo(place) {
    if (this.next !== null && place > this.next && place - this.next <= MAX_GAP) this.counts.lost += place - this.next;
    if (this.next !== null) this.next = place;
  }

  /** Runs to ask for now, by sequence number. @param {number} now @param {number} roundTrip */
  pollAsk(now, roundTrip) {
    return this.repair.pollAsk(now, roundTrip).map(({ first, count }) => ({ first: first & 0xffff, count }));
  }

  /** Whether all places after one and before another have come. @param {number} after @param {number} before */
  isWhole(after, before) {
    for (let place = after + 1; place < before; place++) if (this.seen[place % SEEN] !== place) return false;
    return true;
  }

  /** @param {number} now @returns {boolean} whether it is in a talkspurt */
  isTalking(now) {
    return !this.ended && now - this.heardAt < 400;
  }
}
