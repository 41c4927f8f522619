// @ts-check
// Estimate of the origin's clock by probes (SPEC 7).

const KEPT = 8;
const DRIFT = 400e-6;
const NO_ESTIMATE = 2 ** 32 - 1;

/** Times are microseconds of the local clock unless said otherwise. */
export class Clock {
  /** @type {{at: number, offset: number, error: number, roundTrip: number}[]} */
  exchanges = [];
  due = 0;
  /** Questions that are under way: an answer to none of them is dropped. @type {number[]} */
  open = [];

  /** @param {number} now @returns {boolean} whether a question is to be sent now */
  pollQuestion(now) {
    if (now < this.due) return false;
    this.due = now + (this.exchanges.length < KEPT ? 100_000 : 1_000_000);
    this.open = [...this.open.slice(1 - KEPT), Math.round(now)];
    return true;
  }

  /** @param {number} now @param {import('./wire.js').Answer} answer @returns {boolean} whether it was asked for */
  handleAnswer(now, { asked, received, answered, error }) {
    const at = this.open.indexOf(asked);
    if (at < 0) return false;
    this.open.splice(at, 1);
    const roundTrip = now - asked - (answered - received);
    if (error === NO_ESTIMATE || roundTrip < 0 || answered < received) return true;
    const offset = (received - asked + (answered - now)) / 2;
    this.exchanges = [...this.exchanges.slice(1 - KEPT), { at: now, offset, error: roundTrip / 2 + 1 + error, roundTrip }];
    return true;
  }

  /** @param {number} now @returns {{offset: number, error: number, roundTrip: number}|null} the best estimate, with its error now */
  best(now) {
    let best = null;
    for (const { at, offset, error, roundTrip } of this.exchanges) {
      const grown = error + (now - at) * DRIFT;
      if (!best || grown < best.error) best = { offset, error: grown, roundTrip };
    }
    return best;
  }

  /** Round trip to the edge, ms; null while none is known. */
  get roundTrip() {
    const all = this.exchanges.map(({ roundTrip }) => roundTrip / 1000).sort((a, b) => a - b);
    return all.length ? all[all.length >> 1] : null;
  }
}
