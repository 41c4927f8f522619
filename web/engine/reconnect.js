// @ts-check
// What follows a failed connection: whether, where and when to try again (SPEC 8.9, 10). Pure.

/** Clients that are moved together arrive spread over this, ms. */
export const MOVE_SPREAD = 500;
const REDIRECTS_MAX = 4;
const BACKOFF_FIRST = 250;
const BACKOFF_MAX = 10_000;
/** Rounds through all relays before the first join is given up. */
const ROUNDS_MAX = 3;
/** How long a room may be missing after a loss, and how often it is looked for: its origin may be coming back. */
const ROOM_GRACE = 30_000;
const ROOM_RETRY = 1000;

/** Close codes (SPEC 10.2) in words. Those of `FINAL` end the stay. @type {Record<number, string>} */
const CLOSES = {
  0x00: 'done', 0x01: 'protocol', 0x02: 'protocol', 0x03: 'no_join', 0x04: 'too_many', 0x05: 'too_slow',
  0x10: 'removed', 0x11: 'room_over', 0x12: 'replaced', 0x13: 'token_expired', 0x20: 'draining', 0x21: 'stopping',
};
const FINAL = [0x00, 0x01, 0x02, 0x04, 0x10, 0x11, 0x12, 0x13, 0x30, 0x31, 0x32, 0x33];
/** Refusals (SPEC 10.1) after which the same may succeed a little later. */
const AGAIN = ['room_not_found', 'not_started', 'not_durable', 'draining', 'unavailable', 'overloaded'];

/**
 * @typedef {object} Failure
 * @property {'closed'|'refused'} how a connection was closed or not made; or `join` was refused
 * @property {string} [code] of a refusal
 * @property {number} [closeCode] none: the connection was lost, or could not be made
 * @property {string} message
 * @property {string} [to] "host:port" of another relay that was named with it
 *
 * @typedef {{code: string, closeCode?: number, message: string}} Why
 */

/** @param {number|undefined} closeCode */
export function closeName(closeCode) {
  return closeCode === undefined ? 'unreachable' : CLOSES[closeCode] ?? 'stopping';
}

/** @param {number} attempt in vain, from 0 @param {number} random 0 to 1 @returns {number} ms */
export function backoff(attempt, random) {
  return Math.min(BACKOFF_FIRST * 2 ** Math.min(attempt, 16), BACKOFF_MAX) * (0.5 + random / 2);
}

/** Relays are "host:port". */
export class Reconnect {
  at = 0;
  /** One that was named by a relay: tried once. @type {string|null} */
  detour = null;
  failures = 0;
  attempt = 0;
  missing = 0;
  joined = false;
  /** Relays in a row that have sent us on; no second time to the same. @type {string[]} */
  sentOnBy = [];

  /** @param {string[]} relays not empty; the first one first */
  constructor(relays) {
    this.named = relays.length;
    this.relays = relays.slice();
  }

  get relay() {
    return this.detour ?? this.relays[this.at];
  }

  /** @param {string} at the room has let us in there: it is one of those to come back to */
  handleJoined(at) {
    const known = this.relays.indexOf(at);
    if (known < 0) this.relays = [...this.relays.slice(0, this.named), at];
    this.at = known < 0 ? this.relays.length - 1 : known;
    this.detour = null;
    this.failures = this.attempt = this.missing = 0;
    this.sentOnBy = [];
    this.joined = true;
  }

  /**
   * @param {Failure} failure @param {number} random 0 to 1
   * @returns {{after: number}|{end: Why}} ms until `relay` is to be tried; or the end
   */
  handleFailure({ how, code, closeCode, message, to }, random) {
    if (to && to !== this.relay && !this.sentOnBy.includes(to) && this.sentOnBy.length < REDIRECTS_MAX) {
      this.sentOnBy.push(this.relay);
      this.detour = to;
      return { after: MOVE_SPREAD * random };
    }
    this.sentOnBy = [];
    this.failures++;
    const why = { code: code ?? closeName(closeCode), closeCode, message };
    if (how === 'closed' && closeCode !== undefined && FINAL.includes(closeCode)) return { end: why };
    if (how === 'refused' && !AGAIN.includes(why.code)) return { end: why };
    if (why.code === 'room_not_found' || why.code === 'not_started') {
      this.missing += ROOM_RETRY;
      return this.joined && this.missing <= ROOM_GRACE ? { after: ROOM_RETRY } : { end: why };
    }
    if (!this.joined && this.failures >= ROUNDS_MAX * this.relays.length) return { end: why };
    if (this.detour) this.detour = null;
    else this.at = (this.at + 1) % this.relays.length;
    return { after: this.failures < this.relays.length ? 0 : backoff(this.attempt++, random) };
  }
}

/** Looks for a relay to go on at while the present one still serves. */
export class Search {
  at = 0;
  rounds = 0;
  /** @type {string[]} */
  detour = [];

  /** @param {number} now ms @param {string} from @param {(string|undefined)[]} relays the named one first @param {number} random */
  constructor(now, from, relays, random) {
    this.from = from;
    this.round = [...new Set(relays)].filter((relay) => relay !== undefined && relay !== from);
    /** @type {number} */
    this.due = now + MOVE_SPREAD * random;
  }

  /** @param {number} now @returns {string|null} the relay to try now; it is under way until `handleFailure` */
  poll(now) {
    if (now < this.due || !this.round.length) return null;
    this.due = Infinity;
    return this.detour.at(-1) ?? this.round[this.at] ?? null;
  }

  /** @param {number} now @param {string|undefined} to where it has sent us on @param {number} random */
  handleFailure(now, to, random) {
    const known = [this.from, ...this.round, ...this.detour];
    if (to && !known.includes(to) && this.detour.length < REDIRECTS_MAX) {
      this.detour.push(to);
      this.due = now + MOVE_SPREAD * random;
      return;
    }
    this.detour = [];
    this.at = (this.at + 1) % this.round.length;
    this.due = now + (this.at === 0 ? backoff(this.rounds++, random) : 0);
  }
}
