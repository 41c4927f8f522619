// @ts-check
// All tracks that are heard, over one relay or, while moving, two. Pure; times are milliseconds.
import { LEAD, Receiver } from './receive.js';
import { reachOf } from './repair.js';
import { writeNack } from './wire.js';

/** As many as a stage holds. */
const MAX_TRACKS = 32;
/** Live: how long a frame is waited for before anything is heard. */
const LIVE_PATIENCE = 50;
/** Shortest and longest time for which two relays are listened to. */
const OVERLAP_MIN = 200;
const OVERLAP_MAX = 2000;

/** @typedef {{frame: import('./wire.js').Frame, source: import('./wire.js').Source}} Arrival */

export class Hearing {
  /** @type {Map<number, Receiver>} */
  tracks = new Map();
  /** Delay of playout in ms; 0: live. */
  delay = 0;
  /** Counts of tracks that are gone. @type {Record<string, number>} */
  before = {};
  /** Where each track goes over to another relay. @type {{since: number, seams: Map<number, Seam>}|null} */
  overlap = null;

  /** @param {number} delay */
  setDelay(delay) {
    this.delay = delay;
    for (const receiver of this.tracks.values()) {
      receiver.repair.reach = reachOf(delay);
      receiver.patience = this.#patience;
    }
  }

  get #patience() {
    return this.delay ? this.delay - 100 : LIVE_PATIENCE;
  }

  /** @param {number} now @param {Arrival} arrival @param {boolean} isNew from the relay that is moved to */
  handleFrame(now, { frame, source }, isNew) {
    let receiver = this.tracks.get(frame.track);
    if (!receiver) {
      if (this.tracks.size >= MAX_TRACKS) return;
      receiver = new Receiver(reachOf(this.delay), this.#patience);
      this.tracks.set(frame.track, receiver);
    }
    const place = receiver.handleFrame(now, frame, source);
    if (!this.overlap) return;
    let seam = this.overlap.seams.get(frame.track);
    if (!seam || seam.ended && !frame.end) this.overlap.seams.set(frame.track, (seam = new Seam(place)));
    seam.ended = frame.end;
    if (isNew && source !== 'repair') seam.first = Math.min(seam.first, place);
  }

  /** Frames whose turn has come, and the tracks that they are of. @param {number} now */
  poll(now) {
    return [...this.tracks.values()].flatMap((receiver) => receiver.poll(now));
  }

  /** Frames that came after their turn since the last time, as late as the way to the ear would have made them. */
  takeLate() {
    const late = [...this.tracks.values()].flatMap((receiver) => receiver.late.splice(0));
    return late.map((frame) => ({ ...frame, at: frame.at + LEAD / 2 }));
  }

  /** NACKs that are due. @param {number} now @param {number} roundTrip */
  pollAsk(now, roundTrip) {
    const out = [];
    for (const [track, receiver] of this.tracks) {
      for (const { first, count } of receiver.pollAsk(now, roundTrip)) out.push(writeNack(track, first, count));
    }
    return out;
  }

  /** @param {number} track @param {number} place @param {number} at when it is heard; place −1: nothing is */
  handleTurn(track, place, at) {
    const receiver = this.tracks.get(track);
    if (receiver) receiver.turn = place < 0 ? null : { place, at };
  }

  /** Keeps the tracks of the stage. @param {number[]} onStage @returns {number[]} those that are gone */
  retain(onStage) {
    const gone = [...this.tracks.keys()].filter((track) => !onStage.includes(track));
    for (const track of gone) {
      const { counts } = /** @type {Receiver} */ (this.tracks.get(track));
      for (const [name, count] of Object.entries(counts)) this.before[name] = (this.before[name] ?? 0) + count;
      this.tracks.delete(track);
    }
    return gone;
  }

  /** @returns {Record<string, number>} of all tracks, since the start */
  get counts() {
    const sums = { received: 0, lost: 0, repaired: 0, answered: 0, late: 0, runs: 0, duplicate: 0, ...this.before };
    for (const { counts } of this.tracks.values()) {
      for (const [name, count] of Object.entries(counts)) sums[/** @type {keyof typeof sums} */ (name)] += count;
    }
    return sums;
  }

  /** Interarrival jitter of the track with the most. */
  get jitter() {
    return Math.max(0, ...[...this.tracks.values()].map(({ repair }) => repair.jitter));
  }

  /** The last frame of each track in a talkspurt, for a relay to go on from. @returns {{track: number, seq: number}[]} */
  get heard() {
    const all = [...this.tracks].filter(([, { ended }]) => !ended);
    return all.map(([track, { newestSeq }]) => ({ track, seq: newestSeq }));
  }

  /** From now on two relays are heard. @param {number} now */
  beginOverlap(now) {
    const talking = [...this.tracks].filter(([, receiver]) => receiver.isTalking(now));
    const seams = talking.map(([track, { newest }]) => /** @type {[number, Seam]} */ ([track, new Seam(newest)]));
    this.overlap = { since: now, seams: new Map(seams) };
  }

  /** Whether the former relay can be left: each track comes from the new one, and nothing before is missing. @param {number} now */
  isSewn(now) {
    if (!this.overlap) return true;
    const { since, seams } = this.overlap;
    const isSewn = (/** @type {[number, Seam]} */ [track, { after, first, ended }]) =>
      ended || first < Infinity && (this.tracks.get(track)?.isWhole(after, first) ?? true);
    return now - since >= OVERLAP_MAX || now - since >= OVERLAP_MIN && [...seams].every(isSewn);
  }
}

class Seam {
  ended = false;
  /** The first place that the new relay has sent by itself. */
  first = Infinity;

  /** @param {number} after what had been heard when two relays began to be heard */
  constructor(after) {
    this.after = after;
  }
}
