// @ts-check
// Datagrams of tribune/1: media, NACKs, probes (protocol/SPEC.md, sections 5 to 7).

export const MAX_DATAGRAM_BYTES = 1162;
const MAX_OPUS_BYTES = 640;
const MAX_EXTENSION_BYTES = 64;
const MAX_FRAMES = 32;
const MAX_NACK_FRAMES = 50;
const MAX_NUMBER = 2 ** 32 - 1;

/**
 * @typedef {object} Frame one period of 20 ms of one track
 * @property {number} track
 * @property {number} seq modulo 65536
 * @property {number} level −dBov: 0 the loudest, 127 silence
 * @property {boolean} voiced
 * @property {boolean} end silence follows
 * @property {number|null} onset frames of the talkspurt before this one, where it says so
 * @property {number|null} captured origin time of the first sample, µs
 * @property {number|null} error how far `captured` can be from the truth, µs
 * @property {Uint8Array} opus one packet; empty in a mark
 *
 * @typedef {'sent'|'repair'|'late'|'again'} Source how a frame came: by itself, as an answer, late at the
 *   sender already, or once more
 * @typedef {{kind: 'media', channel: number, frames: {frame: Frame, source: Source}[], whole: boolean}} Media
 * @typedef {{kind: 'nack', channel: number, track: number, first: number, count: number}} Nack
 * @typedef {{kind: 'question', asked: number}} Question µs
 * @typedef {{kind: 'answer', asked: number, received: number, answered: number, error: number}} Answer µs
 */

/** @type {Record<number, Source>} */
const SOURCES = { 0: 'sent', 3: 'repair', 4: 'sent', 5: 'late' };

/** Reads forward; `take…` throw RangeError at the end. */
class Reader {
  /** @param {Uint8Array} bytes @param {number} at @param {number} end */
  constructor(bytes, at = 0, end = bytes.length) {
    this.bytes = bytes;
    this.at = at;
    this.end = end;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }
  /** @param {number} count */
  skip(count) {
    if (count > this.end - this.at) throw new RangeError('cut short');
    this.at += count;
    return this.at - count;
  }
  u8() {
    return this.bytes[this.skip(1)];
  }
  u16() {
    return this.view.getUint16(this.skip(2));
  }
  u32() {
    return this.view.getUint32(this.skip(4));
  }
  u64() {
    return Number(this.view.getBigUint64(this.skip(8)));
  }
  /** @param {number} most */
  varint(most) {
    const found = readVarint(this.bytes.subarray(0, this.end), this.at);
    if (!found || found.value > most) throw new RangeError('cut short or out of range');
    this.at = found.next;
    return found.value;
  }
}

/**
 * @param {Uint8Array} bytes @param {number} at
 * @returns {{value: number, next: number}|null} null if it is cut short
 */
export function readVarint(bytes, at) {
  if (at >= bytes.length) return null;
  const next = at + (1 << (bytes[at] >> 6));
  if (next > bytes.length) return null;
  let value = bytes[at] & 0x3f;
  for (let i = at + 1; i < next; i++) value = value * 256 + bytes[i];
  return { value, next };
}

/** @param {number} value up to 2^30 − 1, or a track up to 2^32 − 1 @returns {number[]} shortest form */
export function varint(value) {
  if (value < 0x40) return [value];
  if (value < 0x4000) return [0x40 | value >> 8, value & 255];
  const low = [value >>> 24, value >>> 16 & 255, value >>> 8 & 255, value & 255];
  return value < 2 ** 30 ? [0x80 | low[0], ...low.slice(1)] : [0xc0, 0, 0, 0, ...low];
}

/**
 * @param {Uint8Array} bytes
 * @returns {Media|Nack|Question|Answer|null} null for what is to be dropped and counted
 */
export function parse(bytes) {
  const reader = new Reader(bytes);
  try {
    const kind = reader.u8();
    if (kind in SOURCES) return readMedia(reader, kind);
    if (kind === 1) {
      const channel = reader.varint(MAX_NUMBER);
      const [track, first, count] = [reader.varint(MAX_NUMBER), reader.u16(), reader.u8()];
      return count >= 1 && count <= MAX_NACK_FRAMES ? { kind: 'nack', channel, track, first, count } : null;
    }
    if (kind !== 2) return null;
    const direction = reader.u8();
    if (direction === 0) return { kind: 'question', asked: reader.u64() };
    if (direction !== 1) return null;
    const [asked, received, answered] = [reader.u64(), reader.u64(), reader.u64()];
    return { kind: 'answer', asked, received, answered, error: reader.u32() };
  } catch {
    return null;
  }
}

/** @param {Reader} reader @param {number} kind @returns {Media} */
function readMedia(reader, kind) {
  const channel = reader.varint(MAX_NUMBER);
  const again = kind === 4 ? reader.varint(MAX_FRAMES) : 0;
  /** @type {Media} */
  const media = { kind: 'media', channel, frames: [], whole: true };
  while (reader.at < reader.end) {
    try {
      if (media.frames.length === MAX_FRAMES) throw new RangeError('too many frames');
      const source = media.frames.length < again ? 'again' : SOURCES[kind];
      media.frames.push({ frame: readFrame(reader), source });
    } catch {
      // Where the next frame begins is unknown; those before stand.
      media.whole = false;
      break;
    }
  }
  return media;
}

/** @param {Reader} reader @returns {Frame} */
function readFrame(reader) {
  const track = reader.varint(MAX_NUMBER);
  const seq = reader.u16();
  const level = reader.u8();
  const field = reader.varint(MAX_OPUS_BYTES * 4 + 3);
  const said = { onset: null, captured: null, error: null };
  if (field & 2) readExtensions(reader, said);
  const length = field >> 2;
  const at = reader.skip(length);
  const opus = reader.bytes.subarray(at, at + length);
  const end = (field & 1) === 1 || length === 0;
  return { track, seq, level: level & 0x7f, voiced: level > 0x7f, end, ...said, opus };
}

/** @param {Reader} reader @param {{onset: number|null, captured: number|null, error: number|null}} said */
function readExtensions(reader, said) {
  const size = reader.varint(MAX_EXTENSION_BYTES);
  const start = reader.skip(size);
  const area = new Reader(reader.bytes, start, start + size);
  while (area.at < area.end) {
    const [id, length] = [area.varint(Infinity), area.varint(MAX_EXTENSION_BYTES)];
    const value = new Reader(area.bytes, area.skip(length), area.at);
    if (id > 3 || id === 0) continue;
    if (length !== [0, 8, 4, 1][id]) throw new RangeError('an extension of the wrong length');
    if (id === 1) said.captured = value.u64();
    else if (id === 2) said.error = value.u32();
    else said.onset = value.u8();
  }
}

/** @param {DataView} view @param {number} at @param {number} value µs */
const putU64 = (view, at, value) => view.setBigUint64(at, BigInt(Math.max(0, Math.round(value))));

/**
 * The written form of a frame, as it lies in a datagram.
 * @param {Frame} frame
 * @returns {Uint8Array<ArrayBuffer>}
 */
export function writeFrame({ track, seq, level, voiced, end, onset, captured, error, opus }) {
  const size = (captured === null ? 0 : 10) + (error === null ? 0 : 6) + (onset === null ? 0 : 3);
  const head = [...varint(track), seq >> 8 & 255, seq & 255, (voiced ? 0x80 : 0) | level,
    ...varint(opus.length << 2 | (size ? 2 : 0) | (end ? 1 : 0)), ...(size ? [size] : [])];
  const out = new Uint8Array(head.length + size + opus.length);
  const view = new DataView(out.buffer);
  out.set(head);
  let at = head.length;
  if (captured !== null) {
    out.set([1, 8], at);
    putU64(view, at + 2, captured);
    at += 10;
  }
  if (error !== null) {
    out.set([2, 4], at);
    view.setUint32(at + 2, Math.min(error, MAX_NUMBER));
    at += 6;
  }
  if (onset !== null) out.set([3, 1, onset], at);
  out.set(opus, head.length + size);
  return out;
}

/**
 * @param {0|3|4} kind @param {Uint8Array[]} frames their written forms @param {number} [again] how many, for kind 4
 * @returns {Uint8Array<ArrayBuffer>}
 */
export function writeMedia(kind, frames, again = 0) {
  const head = kind === 4 ? [4, 0, again] : [kind, 0];
  const out = new Uint8Array(frames.reduce((sum, frame) => sum + frame.length, head.length));
  out.set(head);
  let at = head.length;
  for (const frame of frames) {
    out.set(frame, at);
    at += frame.length;
  }
  return out;
}

/** @param {number} track @param {number} first @param {number} count @returns {Uint8Array<ArrayBuffer>} */
export function writeNack(track, first, count) {
  return Uint8Array.from([1, 0, ...varint(track), first >> 8 & 255, first & 255, count]);
}

/** @param {number} asked local clock, µs @returns {Uint8Array<ArrayBuffer>} */
export function writeQuestion(asked) {
  const out = new Uint8Array(10);
  out[0] = 2;
  putU64(new DataView(out.buffer), 2, asked);
  return out;
}

/** Distance on the circle of sequence numbers (RFC 1982), −32768 to 32767. @param {number} from @param {number} to */
export function distance(from, to) {
  return (to - from + 0x8000 & 0xffff) - 0x8000;
}
