// @ts-check
// Repair of one track: which frames are missing, and when the edge is asked for them (SPEC 6). Pure.
// Places are sequence numbers without wrap-around; times are milliseconds.

const PERIOD = 20;
/** Questions for one frame. At 30 % loss each way, eight leave one frame in two hundred. */
const MAX_ASKED = 8;
/** Frames that the clock finds missing in a row; after that it is silence whose mark was lost, or an outage. */
const MAX_OVERDUE = 2;
/** Questions at once; one more for each frame that comes. */
const MAX_QUESTIONS = 25;
const MAX_MISSING = 100;
const MAX_NACK_FRAMES = 50;
/** A period in which a frame waits to be bundled, and the lateness of a busy machine. */
const OVERDUE_AFTER = 40;
/** The longest wait for a frame that may come by itself. */
const MAX_WAIT = 200;
const MIN_RETRY = 10;
/** Frames in a row that were asked for in vain, from which on each is asked for once: nobody has them. */
const FUTILE = 16;
/** The same from which on only each eighth frame that comes lets another be asked for. */
const HOPELESS = 64;

/**
 * @typedef {{patience: number, maxRun: number, overdueAsks: number}} Reach after how many ms a frame is of no use;
 *   the longest run that is asked for; questions for a frame that only the clock knows of
 * @typedef {import('./wire.js').Source} Source
 */

/** @param {number} delay of playout, ms; 0: live @returns {Reach} */
export function reachOf(delay) {
  if (!delay) return { patience: 400, maxRun: 10, overdueAsks: 2 };
  return { patience: Math.min(delay, 2000), maxRun: Math.min(Math.floor(delay / PERIOD), MAX_MISSING), overdueAsks: 4 };
}

/** Lateness of frames that came by themselves after all, and so of what need not be asked for at once. */
class Lateness {
  /** Of frames that were overtaken on the way here. */
  here = 0;
  /** Of frames that were lost further up, and mended there. */
  above = 0;
  /** Share of the missing frames that was lost on the way here. */
  own = 0;

  get wait() {
    return Math.max(this.here, this.own < 1 / 8 ? this.above : 0);
  }
  /** @param {number} late ms @param {boolean} isAbove */
  note(late, isAbove) {
    const wait = Math.min(late * 9 / 8, MAX_WAIT);
    if (isAbove) {
      this.own -= this.own / 16;
      this.above = Math.max(this.above * 127 / 128, wait);
    } else this.here = Math.max(this.here, wait);
  }
  noteLost() {
    this.here -= this.here / 32;
    this.own += (1 - this.own) / 16;
  }
}

export class Repair {
  /** @type {{place: number, end: boolean, at: number, overdue: number}|null} */
  newest = null;
  /** In order. @type {{place: number, guessed: boolean, since: number, asked: number, due: number}[]} */
  missing = [];
  /** Frames that came as answers, whose question may yet turn out to have been needless. @type {Map<number, number>} */
  answered = new Map();
  late = new Lateness();
  questions = MAX_QUESTIONS;
  jitter = 0;
  futile = 0;

  /** @param {Reach} reach */
  constructor(reach) {
    this.reach = reach;
  }

  /**
   * Takes a frame that has come for the first time.
   * @param {number} now @param {{place: number, end: boolean, onset: number|null}} frame @param {Source} source
   * @returns {boolean} whether it had been missing, and did not come by itself
   */
  handleFrame(now, { place, end, onset }, source) {
    if (this.futile < HOPELESS || place % 8 === 0) this.questions = Math.min(this.questions + 1, MAX_QUESTIONS);
    const newest = this.newest;
    const repaired = this.#takeMissing(now, place, end, source);
    if (newest && place <= newest.place) return repaired;
    const between = newest ? place - newest.place - 1 : MAX_MISSING;
    if (!newest || newest.end || between > this.reach.maxRun) {
      this.#forget((missing) => missing.guessed);
      const before = Math.min(onset ?? 0, between, this.reach.maxRun);
      for (let n = before; n > 0; n--) this.#push(now, place - n, false);
      this.newest = { place, end, at: now, overdue: 0 };
      return repaired;
    }
    const off = Math.abs(now - newest.at - PERIOD * (between + 1));
    this.jitter += (off - this.jitter) / 16;
    // What the clock had found is certain now, and what follows an end was never sent.
    for (const missing of this.missing) if (missing.place < place) missing.guessed = false;
    if (end) this.#forget((missing) => missing.guessed);
    for (let n = Math.min(newest.overdue, between) + 1; n <= between; n++) this.#push(now, newest.place + n, false);
    const overdue = end ? 0 : Math.max(newest.overdue - between - 1, 0);
    this.newest = { place, end, at: now, overdue };
    return repaired;
  }

  /** Takes a frame that has come before. @param {number} now @param {number} place @param {Source} source */
  handleDuplicate(now, place, source) {
    const since = this.answered.get(place);
    if (since === undefined || source !== 'sent' && source !== 'late') return;
    this.answered.delete(place);
    this.late.note(now - since, source === 'late');
  }

  /**
   * Runs of frames to ask for now.
   * @param {number} now @param {number} roundTrip ms
   * @returns {{first: number, count: number}[]} places
   */
  pollAsk(now, roundTrip) {
    this.#noteOverdue(now);
    const { patience, overdueAsks } = this.reach;
    this.#forget((missing) => {
      const over = now > missing.since + patience;
      if (over && !missing.guessed) this.futile++;
      return over;
    });
    const runs = [];
    const retry = Math.max(roundTrip * 1.25, MIN_RETRY);
    let run = null;
    for (const missing of this.missing) {
      const most = this.futile >= FUTILE ? 1 : missing.guessed ? overdueAsks : MAX_ASKED;
      const inTime = now + roundTrip <= missing.since + patience;
      if (missing.asked >= most || missing.due > now || !inTime) continue;
      if (!run || run.first + run.count !== missing.place || run.count === MAX_NACK_FRAMES) {
        if (this.questions === 0) break;
        this.questions--;
        run = { first: missing.place, count: 0 };
        runs.push(run);
      }
      run.count++;
      missing.asked++;
      missing.due = now + retry;
    }
    return runs;
  }

  /** @param {(missing: {place: number, guessed: boolean, since: number}) => boolean} which */
  #forget(which) {
    this.missing = this.missing.filter((missing) => !which(missing));
  }

  /** @param {number} now @param {number} place @param {boolean} guessed */
  #push(now, place, guessed) {
    if (this.missing.length === MAX_MISSING) this.missing.shift();
    this.missing.push({ place, guessed, since: now, asked: 0, due: guessed ? now : now + this.late.wait });
  }

  /** @param {number} now @param {number} place @param {boolean} end @param {Source} source */
  #takeMissing(now, place, end, source) {
    const at = this.missing.findIndex((missing) => missing.place === place);
    if (at < 0) return source === 'again';
    const [{ since, guessed, asked }] = this.missing.splice(at, 1);
    if (end) {
      // Up to the next one that has come, nothing was sent.
      let next = place + 1;
      this.#forget((missing) => missing.place === next && next++ > 0);
    }
    if (source === 'repair') {
      this.futile = 0;
      this.late.noteLost();
      if (this.answered.size === 16) this.answered.delete(this.answered.keys().next().value ?? 0);
      this.answered.set(place, since);
    } else if (source === 'late' || source === 'sent' && asked && !guessed) this.late.note(now - since, source === 'late');
    return source !== 'sent' && (asked > 0 || !guessed || source === 'again');
  }

  /** @param {number} now */
  #noteOverdue(now) {
    const newest = this.newest;
    if (!newest || newest.end) return;
    const margin = Math.max(OVERDUE_AFTER, 4 * this.jitter, this.late.wait);
    while (newest.overdue < MAX_OVERDUE && now >= newest.at + PERIOD * (newest.overdue + 1) + margin) {
      newest.overdue++;
      this.#push(now, newest.place + newest.overdue, true);
    }
  }
}
