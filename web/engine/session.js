// @ts-check
// A stay in a room over any number of connections: it comes back after losses, and goes on at another relay
// without a gap. Without a browser around it; time and connections come from `env`.
import { Hearing } from './hearing.js';
import { Link } from './link.js';
import { Refusal } from './control.js';
import { Reconnect, Search } from './reconnect.js';
import { Speaking } from './speaking.js';
import { parse } from './wire.js';

const REPORT_PERIOD = 5000;
/** A relay that has let us in is replaying what it has: what is missing is not asked for meanwhile. */
const REPLAY = 500;
const DEFAULT_DELAY = 500;
/** What is sent to a new relay again, from before it was joined. */
const AGAIN = 200;
const LEAVE_TIMEOUT = 1000;

/**
 * @typedef {object} Options
 * @property {string} room
 * @property {string} name
 * @property {string} role
 * @property {string} [token]
 * @property {'live'|'audience'} [profile]
 * @property {Uint8Array} session 16 random bytes
 * @property {boolean} [returning] it was in a room before
 * @property {string[]} relays "host:port", in the order in which they are tried
 *
 * @typedef {import('./link.js').LinkEnv & {
 *   random: () => number,
 *   emit: (event: string, detail: any) => void,
 * }} Env
 *
 * @typedef {'connecting'|'joined'|'reconnecting'|'moving'|'ended'|'refused'} State
 * @typedef {{buffer: number, concealed: number, late: number, latency: number[], latencyError: number}} Playout
 */

export class Session {
  /** @type {State} */
  state = 'connecting';
  /** The connection that counts. @type {Link|null} */
  link = null;
  /** The one that is moved to, or, while both are heard, moved from. @type {Link|null} */
  other = null;
  /** @type {Search|null} */
  search = null;
  attemptAt = 0;
  /** When to dial again, while there is no connection. */
  retryAt = Infinity;
  quietUntil = 0;
  reportAt = Infinity;
  /** @type {any} */
  you = null;
  /** @type {any} */
  settings = {};
  /** @type {Speaking|null} */
  speaking = null;
  hearing = new Hearing();
  /** Whether there is an ear: without one nothing is asked for, nor reported. */
  listens = false;
  muted = false;
  hand = false;
  /** @type {any} */
  moderated = null;
  reported = /** @type {Record<string, number>} */ ({});
  /** @type {number} */
  leavesAt = Infinity;
  dropped = 0;

  /** @param {Options} options @param {Env} env */
  constructor(options, env) {
    this.options = options;
    this.env = env;
    this.reconnect = new Reconnect(options.relays);
    this.#say('connecting');
    this.#dial();
  }

  get isOver() {
    return this.state === 'ended' || this.state === 'refused';
  }

  /** @param {State} state @param {import('./reconnect.js').Why} [why] */
  #say(state, why) {
    this.state = state;
    this.env.emit('state', why ? { state, why } : { state });
  }

  #dial() {
    this.retryAt = Infinity;
    this.link = this.#connect(this.reconnect.relay);
  }

  /** @param {string} relay */
  #connect(relay) {
    return new Link(this.env, relay, {
      first: (link) => this.#join(link),
      joined: (link, answer) => this.#joined(link, answer),
      message: (link, message) => this.#handleMessage(link, message),
      datagram: (link, bytes) => this.#handleDatagram(link, bytes),
      failed: (link, failure) => (link === this.link ? this.#lost(failure) : this.#otherFailed(failure)),
    });
  }

  /** @param {Link} link */
  #join(link) {
    const { room, session, name, role, token, profile, returning: wasHere } = this.options;
    const isMove = link !== this.link;
    const returning = this.you === null ? wasHere : this.you.track !== undefined || this.hand || isMove;
    // Live talk has gone on after a loss; an audience hears it from where it was.
    const heard = this.listens && (isMove || this.hearing.delay) ? this.hearing.heard : [];
    if (heard.length) this.quietUntil = this.env.now() + REPLAY;
    return {
      type: 'join', room, session, name, role, token, profile, redundancy: true,
      returning: returning || undefined, heard: heard.length ? heard : undefined,
    };
  }

  /** @param {Link} link @param {any} answer */
  #joined(link, answer) {
    const now = this.env.now();
    this.reconnect.handleJoined(link.relay);
    if (link !== this.link) {
      // From here on the new connection counts, and the former one is heard until nothing is missing.
      const former = /** @type {Link} */ (this.link);
      this.hearing.beginOverlap(now);
      [this.link, this.other, this.search] = [link, former, null];
      for (const datagram of this.speaking?.since(this.attemptAt - AGAIN) ?? []) link.send(datagram);
    } else if (this.state !== 'joined') this.#say('joined');
    if (this.reportAt === Infinity) this.reportAt = now + REPORT_PERIOD;
    this.settings = {};
    const { relay, depth, you, stage, listeners } = answer;
    this.#setYou(you);
    this.#setStage(stage);
    this.env.emit('joined', { relay, depth, you, stage, listeners, transport: link.transport?.kind });
    this.env.emit('listeners', listeners);
    if (this.muted && you.track !== undefined) link.tell({ type: 'own_mute', muted: true });
  }

  /** @param {Link} link @param {any} message */
  #handleMessage(link, message) {
    const { type } = message;
    if (type === 'moved') return this.#moved(link, message);
    // What counts is said by the connection that counts.
    if (link !== this.link) return;
    const { emit } = this.env;
    if (type === 'stage') this.#setStage(message.stage);
    else if (type === 'you') this.#setYou(message);
    else if (type === 'listeners') emit('listeners', message.count);
    else if (type === 'hands') emit('hands', { hands: message.hands, total: message.total });
    else if (type === 'reactions') emit('reactions', message.counts);
    else if (type === 'protect') emit('protect', message.protection);
    else if (type === 'token_expires') emit('token_expires', message.in_s);
    else if (type === 'please_mute') emit('please_mute', message);
    else if (type === 'moderated') {
      this.moderated = message;
      emit('moderated', message);
    } else if (type === 'room') {
      this.settings = message.settings ?? {};
      emit('room', { ...message, settings: this.settings });
      this.#setDelay();
    }
  }

  /** @param {any} you */
  #setYou(you) {
    this.you = you;
    this.hand = you.hand !== undefined;
    if (you.track === undefined) this.speaking = null;
    else if (this.speaking?.track !== you.track) this.speaking = new Speaking(you.track);
    this.#setDelay();
    this.env.emit('you', you);
  }

  #setDelay() {
    const isLive = (this.you?.profile ?? 'live') === 'live';
    this.hearing.setDelay(isLive ? 0 : this.settings.playout_delay_ms || DEFAULT_DELAY);
    this.env.emit('delay', this.hearing.delay);
  }

  /** @param {any[]} stage */
  #setStage(stage) {
    for (const track of this.hearing.retain(stage.map((entry) => entry.track))) this.env.emit('track_gone', track);
    this.env.emit('stage', stage);
  }

  /** @param {Link} link @param {any} message */
  #moved(link, message) {
    if (link !== this.link || link.state !== 'joined' || this.isOver) return;
    const { relay } = link;
    const search = new Search(this.env.now(), relay, [message.to, ...this.reconnect.relays], this.env.random());
    if (search.round.length === 0) return;
    if (this.other && !this.hearing.overlap) this.other.leave();
    this.search = search;
    if (this.state === 'joined') this.#say('moving');
  }

  /** @param {import('./reconnect.js').Failure} failure */
  #otherFailed(failure) {
    this.other = null;
    if (this.hearing.overlap) this.#sewn();
    else this.search?.handleFailure(this.env.now(), failure.to, this.env.random());
  }

  #sewn() {
    this.hearing.overlap = null;
    this.other?.leave();
    this.other = null;
    if (this.state === 'moving') this.#say('joined');
  }

  /** @param {import('./reconnect.js').Failure} failure of the connection that counts */
  #lost(failure) {
    this.link = null;
    if (this.isOver) return;
    if (this.hearing.overlap) this.#sewn();
    const trying = this.other;
    this.other = this.search = null;
    const next = this.leavesAt < Infinity
      ? { end: { code: 'left', closeCode: 0, message: '' } }
      : this.reconnect.handleFailure(failure, this.env.random());
    if ('end' in next) {
      trying?.leave();
      const { action } = this.moderated ?? {};
      const isModerated = next.end.code === 'removed' && (action === 'kicked' || action === 'banned');
      const why = { ...next.end, ...(isModerated ? { code: action, moderated: this.moderated } : {}) };
      this.speaking = null;
      return this.#say(this.reconnect.joined ? 'ended' : 'refused', why);
    }
    if (this.reconnect.joined && this.state !== 'reconnecting') {
      this.#say('reconnecting', { code: failure.code ?? 'lost', closeCode: failure.closeCode, message: failure.message });
    }
    if (trying) {
      // The relay that was to be moved to is being joined already.
      this.link = trying;
      this.retryAt = Infinity;
    } else this.retryAt = this.env.now() + next.after;
  }

  /** @param {Link} link @param {Uint8Array} bytes */
  #handleDatagram(link, bytes) {
    const now = this.env.now();
    const datagram = parse(bytes);
    if (!datagram || 'channel' in datagram && datagram.channel !== 0) this.dropped++;
    else if (datagram.kind === 'answer') link.clock.handleAnswer(link.localUs, datagram);
    else if (datagram.kind === 'nack') {
      const answer = this.speaking?.answer(datagram);
      if (answer) link.send(answer);
    } else if (datagram.kind === 'media') {
      if (!datagram.whole) this.dropped++;
      for (const arrival of datagram.frames) this.hearing.handleFrame(now, arrival, link === this.link);
    }
  }

  /** A frame of the own microphone. @param {import('./speaking.js').Spoken} spoken */
  speak(spoken) {
    const { speaking, link } = this;
    if (!speaking || !link || this.you.silenced) return;
    speaking.handleFrame(this.env.now(), spoken, link.clock.best(link.localUs), link.roundTrip);
    link.send(speaking.datagram(link.takesRedundancy));
    const { other } = this;
    if (other && other.state !== 'dialling') other.send(speaking.datagram(other.takesRedundancy));
  }

  /** @param {object} message @returns {Promise<any>} */
  request(message) {
    if (this.link?.state !== 'joined') return Promise.reject(new Refusal('unavailable', 'there is no connection'));
    return this.link.request(message);
  }

  /** @param {boolean} muted */
  mute(muted) {
    this.muted = muted;
    if (this.link?.state === 'joined') this.link.tell({ type: 'own_mute', muted });
  }

  leave() {
    this.leavesAt = this.env.now() + LEAVE_TIMEOUT;
    if (this.link?.state !== 'joined') this.#leaveNow();
    else this.link.tell({ type: 'leave' });
  }

  #leaveNow() {
    this.link?.leave();
    this.#lost({ how: 'closed', closeCode: 0, message: '' });
  }

  /** To be called every 10 ms or so. @param {() => Playout|null} playout what the ear counts, where there is one */
  tick(playout) {
    const now = this.env.now();
    if (this.isOver) return;
    if (now >= this.leavesAt) return this.#leaveNow();
    this.link?.tick();
    this.other?.tick();
    if (now >= this.retryAt) this.#dial();
    const to = this.search && !this.other ? this.search.poll(now) : null;
    if (to) {
      this.attemptAt = now;
      this.other = this.#connect(to);
    }
    if (this.hearing.overlap && this.hearing.isSewn(now)) this.#sewn();
    if (this.link?.state !== 'joined' || !this.listens) return;
    if (now >= this.quietUntil) {
      for (const nack of this.hearing.pollAsk(now, this.link.roundTrip)) this.link.send(nack);
    }
    if (now >= this.reportAt) this.#report(now, playout());
  }

  /** @param {number} now @param {Playout|null} playout */
  #report(now, playout) {
    this.reportAt = now + REPORT_PERIOD;
    if (!playout || !this.link) return;
    const { concealed, buffer, latency, latencyError } = playout;
    const { counts } = this.hearing;
    /** @type {Record<string, number>} */
    const total = { ...counts, concealed, late: counts.late + playout.late };
    const since = (/** @type {string} */ name) => Math.min(Math.max(0, Math.round(total[name] - (this.reported[name] ?? 0))), 16_000);
    const us = (/** @type {number} */ ms) => Math.min(Math.round(Math.max(0, ms) * 1000), 60_000_000);
    this.link.tell({
      type: 'report', received: since('received'), lost: since('lost'), repaired: since('repaired'),
      answered: since('answered'), concealed: since('concealed'), late: since('late'), runs: since('runs'),
      buffer_us: us(buffer), jitter_us: us(this.hearing.jitter), rtt_us: us(this.link.clock.roundTrip ?? 0),
      ...(latency.length ? {
        latency_us: us(latency.reduce((a, b) => a + b) / latency.length),
        latency_max_us: us(Math.max(...latency)), latency_error_us: us(latencyError),
      } : {}),
    });
    this.reported = total;
  }
}
