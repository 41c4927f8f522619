// @ts-check
// The control stream: messages by length, and requests with their answers (SPEC 4.1, 4.2).
import { decode, encode } from './cbor.js';
import { readVarint, varint } from './wire.js';

export const MAX_MESSAGE_BYTES = 16_384;
const ANSWER_TIMEOUT_MS = 10_000;
const PENDING_MAX = 32;

/** A refusal, or what a close of a connection said. `code` is a word of SPEC 10.1, or one of this client's. */
export class Refusal extends Error {
  /** @param {string} code @param {string} message @param {number} [closeCode] SPEC 10.2 */
  constructor(code, message, closeCode) {
    super(message);
    this.code = code;
    this.closeCode = closeCode;
  }
}

/**
 * Ids have 64 bits and are strings of decimal digits in the client; on the wire they are integers.
 * @param {any} item @param {string} [key] of the map that it is in
 * @returns {any}
 */
export function fromWire(item, key) {
  if (typeof item === 'bigint' || key === 'participant' && typeof item === 'number') return String(item);
  if (Array.isArray(item)) return item.map((part) => fromWire(part));
  if (item === null || typeof item !== 'object' || item instanceof Uint8Array) return item;
  return Object.fromEntries(Object.entries(item).map(([name, field]) => [name, fromWire(field, name)]));
}

/** @param {any} item @param {string} [key] @returns {any} */
function toWire(item, key) {
  if (key === 'participant' && typeof item === 'string') return BigInt(item);
  if (Array.isArray(item)) return item.map((part) => toWire(part));
  if (item === null || typeof item !== 'object' || item instanceof Uint8Array) return item;
  return Object.fromEntries(Object.entries(item).map(([name, field]) => [name, toWire(field, name)]));
}

/** @param {object} message @returns {Uint8Array<ArrayBuffer>} with its length in front @throws {Refusal} too_long */
export function frameMessage(message) {
  const body = encode(toWire(message));
  if (body.length > MAX_MESSAGE_BYTES) throw new Refusal('too_long', `a message of ${body.length} bytes`);
  const head = varint(body.length);
  const out = new Uint8Array(head.length + body.length);
  out.set(head);
  out.set(body, head.length);
  return out;
}

/** Cuts a stream of bytes into messages. */
export class ControlReader {
  kept = new Uint8Array(0);

  /**
   * @param {Uint8Array} bytes split anywhere
   * @returns {any[]} the messages that are whole with them
   * @throws {Refusal} `protocol`, with the code to close with
   */
  push(bytes) {
    const all = new Uint8Array(this.kept.length + bytes.length);
    all.set(this.kept);
    all.set(bytes, this.kept.length);
    const messages = [];
    let at = 0;
    for (let head; (head = readVarint(all, at)); at = head.next + head.value) {
      if (head.value > MAX_MESSAGE_BYTES) throw new Refusal('protocol', `a message of ${head.value} bytes`, 2);
      if (head.next + head.value > all.length) break;
      messages.push(readMessage(all.subarray(head.next, head.next + head.value)));
    }
    this.kept = all.slice(at);
    return messages;
  }
}

/** @param {Uint8Array} body */
function readMessage(body) {
  let message;
  try {
    message = fromWire(decode(body));
  } catch (error) {
    throw new Refusal('protocol', String(error), 1);
  }
  if (typeof message?.type !== 'string') throw new Refusal('protocol', 'a message without a type', 1);
  return message;
}

/** Requests that wait for their answers. */
export class Requests {
  next = 1;
  /** @type {Map<number, {due: number, resolve: (message: any) => void, reject: (why: Refusal) => void}>} */
  pending = new Map();

  /**
   * @param {number} now ms @param {object} message without id
   * @param {(message: any) => void} resolve at once, before what follows the answer is read
   * @param {(why: Refusal) => void} reject
   * @returns {Uint8Array<ArrayBuffer>} to be sent
   * @throws {Refusal} `too_long`, or `busy` if too many wait
   */
  ask(now, message, resolve, reject) {
    if (this.pending.size >= PENDING_MAX) throw new Refusal('busy', `${PENDING_MAX} requests wait for answers`);
    const id = this.next++;
    const bytes = frameMessage({ ...message, id });
    this.pending.set(id, { due: now + ANSWER_TIMEOUT_MS, resolve, reject });
    return bytes;
  }

  /** @param {any} message @returns {boolean} whether it was the answer to a request */
  handleAnswer(message) {
    const waiting = this.pending.get(message.id);
    if (!waiting) return false;
    this.pending.delete(message.id);
    if (message.type === 'err') waiting.reject(new Refusal(String(message.code), String(message.message ?? '')));
    else waiting.resolve(message);
    return true;
  }

  /** Gives up those whose time is over. @param {number} now ms; Infinity: all, as the connection is lost */
  expire(now) {
    for (const [id, { due, reject }] of this.pending) {
      if (due > now) continue;
      this.pending.delete(id);
      reject(new Refusal('unavailable', now === Infinity ? 'the connection was lost' : 'no answer came in time'));
    }
  }
}
