// @ts-check
// The own track: frames as they are sent, sent again where the relay asks, and said twice on lossy ways. Pure.
import { MAX_DATAGRAM_BYTES, writeFrame, writeMedia } from './wire.js';

/** Frames that are kept: 2 s, as a relay keeps. */
const KEPT = 100;
/** Frames that are sent again at once; one more for each that is sent. */
const REPAIRS_AT_ONCE = 50;
const ONSET_FRAMES = 16;
const STAMP_PERIOD_MS = 1000;
/** What is judged together, before frames are said twice or no longer: 5 s and as many frames (SPEC 5.7). */
const JUDGED_MS = 5000;
const JUDGED_FRAMES = 250;

/**
 * @typedef {object} Spoken one frame of 20 ms
 * @property {number} seq
 * @property {number} level −dBov
 * @property {boolean} voiced
 * @property {boolean} end
 * @property {number} captured local clock, µs
 * @property {number} error µs
 * @property {Uint8Array} opus
 *
 * @typedef {{seq: number, at: number, wire: Uint8Array<ArrayBuffer>, asked: number}} Sent
 */

export class Speaking {
  /** @type {Sent[]} */
  kept = [];
  credit = REPAIRS_AT_ONCE;
  stampedAt = -Infinity;
  onset = { seq: -1, before: 0 };
  /** Frames before each that are sent once more, 0 to 2. */
  again = 0;
  quiet = 0;
  judged = { since: 0, sent: 0, asked: 0, askedAgain: 0 };
  sent = 0;

  /** @param {number} track */
  constructor(track) {
    this.track = track;
  }

  /**
   * @param {number} now ms @param {Spoken} spoken
   * @param {{offset: number, error: number}|null} clock estimate of the origin's
   * @param {number} roundTrip ms
   */
  handleFrame(now, { seq, level, voiced, end, captured, error, opus }, clock, roundTrip) {
    const before = this.onset.seq === seq ? this.onset.before : 0;
    this.onset = { seq: end ? -1 : seq + 1 & 0xffff, before: before + 1 };
    const isStamped = clock !== null && (before === 0 || now - this.stampedAt >= STAMP_PERIOD_MS);
    if (isStamped) this.stampedAt = now;
    const wire = writeFrame({
      track: this.track, seq, level, voiced, end, opus,
      onset: before < ONSET_FRAMES ? before : null,
      captured: isStamped ? captured + clock.offset : null,
      error: isStamped ? Math.ceil(error + clock.error) : null,
    });
    this.kept.push({ seq, at: now, wire, asked: 0 });
    if (this.kept.length > KEPT) this.kept.shift();
    this.credit = Math.min(this.credit + 1, REPAIRS_AT_ONCE);
    this.sent++;
    this.judged.sent++;
    this.#judge(now, roundTrip);
  }

  /** The datagram of the last frame. @param {boolean} mayRepeat whether the relay understands frames said again */
  datagram(mayRepeat) {
    const count = mayRepeat ? this.again : 0;
    const last = this.kept.slice(-1 - count);
    const follows = last.filter(({ seq }, i) => (seq + last.length - 1 - i & 0xffff) === last[last.length - 1].seq);
    const wires = follows.map(({ wire }) => wire);
    const fits = wires.length > 1 && wires.reduce((sum, { length }) => sum + length, 3) <= MAX_DATAGRAM_BYTES;
    return fits ? writeMedia(4, wires, wires.length - 1) : writeMedia(0, wires.slice(-1));
  }

  /** Datagrams of what has been sent since, for a relay that is moved to. @param {number} at ms */
  since(at) {
    const late = this.kept.filter((frame) => frame.at >= at);
    return late.map(({ wire }) => writeMedia(0, [wire]));
  }

  /** @param {import('./wire.js').Nack} nack @returns {Uint8Array<ArrayBuffer>|null} what there is of it, in one datagram */
  answer({ track, first, count }) {
    if (track !== this.track) return null;
    const wires = [];
    let bytes = 2;
    for (const frame of this.kept) {
      if ((frame.seq - first & 0xffff) >= count) continue;
      frame.asked++;
      if (frame.asked === 1) this.judged.asked++;
      if (frame.asked === 2) this.judged.askedAgain++;
      bytes += frame.wire.length;
      if (this.credit === 0 || bytes > MAX_DATAGRAM_BYTES) continue;
      this.credit--;
      wires.push(frame.wire);
    }
    return wires.length ? writeMedia(3, wires) : null;
  }

  /** @param {number} now @param {number} roundTrip */
  #judge(now, roundTrip) {
    const { since, sent, asked, askedAgain } = this.judged;
    if (sent < JUDGED_FRAMES || now - since < JUDGED_MS) return;
    const worst = Math.max(roundTrip >= 40 ? asked : 0, askedAgain) / sent;
    this.quiet = asked / sent < 0.01 ? this.quiet + 1 : 0;
    if (worst >= 0.025) this.again = Math.min(this.again + 1, 2);
    else if (this.quiet >= 6) {
      this.again = Math.max(this.again - 1, 0);
      this.quiet = 0;
    }
    this.judged = { since: now, sent: 0, asked: 0, askedAgain: 0 };
  }
}
