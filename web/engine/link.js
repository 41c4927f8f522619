// @ts-check
// One connection to a relay, without the transport under it: join, requests, probes, signs of life.
import { Clock } from './clock.js';
import { ControlReader, Refusal, Requests, frameMessage } from './control.js';
import { closeName } from './reconnect.js';
import { writeQuestion } from './wire.js';

const JOIN_TIMEOUT = 10_000;
/** Silence after which a relay is taken for dead: five probes in a row without an answer. */
const DEAD_AFTER = 5000;

/**
 * @typedef {import('./transport.js').Transport} Transport
 * @typedef {import('./reconnect.js').Failure} Failure
 *
 * @typedef {object} LinkEnv
 * @property {() => number} now ms, monotonic
 * @property {number} origin of `now`, ms since the Unix epoch
 * @property {(relay: string, handlers: import('./transport.js').Handlers) => () => void} dial
 *
 * @typedef {object} Owner
 * @property {(link: Link) => object} first the message that is sent when the way is open
 * @property {(link: Link, answer: any) => void} joined
 * @property {(link: Link, message: any) => void} message
 * @property {(link: Link, bytes: Uint8Array) => void} datagram
 * @property {(link: Link, failure: Failure) => void} failed once
 */

export class Link {
  /** @type {'dialling'|'joining'|'joined'|'gone'} */
  state = 'dialling';
  /** @type {Transport|null} */
  transport = null;
  /** Where the relay has said to go. @type {string|undefined} */
  moved;
  reader = new ControlReader();
  requests = new Requests();
  clock = new Clock();
  takesRedundancy = false;

  /** @param {LinkEnv} env @param {string} relay @param {Owner} owner */
  constructor(env, relay, owner) {
    this.env = env;
    this.relay = relay;
    this.owner = owner;
    this.since = this.heardAt = this.tickedAt = env.now();
    this.stop = env.dial(relay, {
      open: (transport) => this.#open(transport),
      control: (bytes) => this.#control(bytes),
      datagram: (bytes) => {
        this.heardAt = env.now();
        if (this.state === 'joined') owner.datagram(this, bytes);
      },
      closed: (closeCode, message) => this.fail({ how: 'closed', closeCode, message }),
    });
  }

  /** @param {Transport} transport */
  #open(transport) {
    if (this.state === 'gone') return transport.close(0, '');
    this.transport = transport;
    this.state = 'joining';
    this.since = this.heardAt = this.env.now();
    this.#ask(
      this.owner.first(this),
      (answer) => {
        if (this.state !== 'joining') return;
        this.state = 'joined';
        this.takesRedundancy = answer.redundancy ?? false;
        this.owner.joined(this, answer);
      },
      (/** @type {Refusal} */ { code, message }) => {
        if (this.state !== 'joining') return;
        this.fail({ how: 'refused', code, message, to: this.moved });
      },
    );
  }

  /** @param {Uint8Array} bytes */
  #control(bytes) {
    this.heardAt = this.env.now();
    try {
      for (const message of this.reader.push(bytes)) {
        if (this.requests.handleAnswer(message)) continue;
        if (message.type === 'moved') this.moved = message.to;
        this.owner.message(this, message);
      }
    } catch (error) {
      const { closeCode = 1, message } = /** @type {Refusal} */ (error);
      this.fail({ how: 'closed', closeCode, message }, closeCode);
    }
  }

  /** Microseconds of the local clock. */
  get localUs() {
    return (this.env.origin + this.env.now()) * 1000;
  }

  /** Round trip, ms. */
  get roundTrip() {
    return this.clock.roundTrip ?? 100;
  }

  /** @param {object} message @param {(answer: any) => void} resolve @param {(why: Refusal) => void} reject */
  #ask(message, resolve, reject) {
    try {
      this.transport?.control(this.requests.ask(this.env.now(), message, resolve, reject));
    } catch (error) {
      reject(/** @type {Refusal} */ (error));
    }
  }

  /** @param {object} message @returns {Promise<any>} its answer; rejects with a Refusal */
  request(message) {
    return new Promise((resolve, reject) => this.#ask(message, resolve, reject));
  }

  /** @param {object} message that has no answer */
  tell(message) {
    this.transport?.control(frameMessage(message));
  }

  /** @param {Uint8Array<ArrayBuffer>} datagram */
  send(datagram) {
    this.transport?.datagram(datagram);
  }

  /** Probes, and what has taken too long. */
  tick() {
    const now = this.env.now();
    // This thread stood still, and with it what it should have read.
    if (now - this.tickedAt > DEAD_AFTER / 2) this.heardAt = Math.max(this.heardAt, now - DEAD_AFTER / 2);
    this.tickedAt = now;
    this.requests.expire(now);
    if (this.state === 'joining' && now - this.since > JOIN_TIMEOUT) {
      this.fail({ how: 'closed', message: 'no answer in time' }, 0);
    }
    if (this.state !== 'joined') return;
    if (now - this.heardAt > DEAD_AFTER) this.fail({ how: 'closed', message: `the relay has been silent for ${DEAD_AFTER} ms` }, 0);
    else if (this.clock.pollQuestion(this.localUs)) this.send(writeQuestion(this.localUs));
  }

  /** @param {Failure} failure @param {number} [closeCode] to close with */
  fail(failure, closeCode) {
    if (this.state === 'gone') return;
    this.leave(closeCode);
    this.owner.failed(this, { to: this.moved, ...failure });
  }

  /** Ends it without a word to the owner. @param {number} [closeCode] */
  leave(closeCode = 0) {
    if (this.state === 'gone') return;
    this.state = 'gone';
    this.stop();
    try {
      this.transport?.close(closeCode, closeName(closeCode));
    } catch { /* It is closed already. */ }
    this.requests.expire(Infinity);
  }
}
