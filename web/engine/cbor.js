// @ts-check
// CBOR (RFC 8949) as the control stream has it: definite lengths, maps with text keys, 12 levels.
// An integer is a number where that is exact, else a bigint.

const MAX_DEPTH = 12;
const text = new TextEncoder();
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * @param {unknown} value map as a plain object (keys whose value is `undefined` are left out), array, string,
 *   integer, Uint8Array, boolean or null
 * @returns {Uint8Array<ArrayBuffer>}
 * @throws {TypeError} for anything else
 */
export function encode(value) {
  let out = new Uint8Array(256);
  let length = 0;
  /** @param {ArrayLike<number>} bytes */
  const put = (bytes) => {
    if (length + bytes.length > out.length) {
      const larger = new Uint8Array(2 * (length + bytes.length));
      larger.set(out);
      out = larger;
    }
    out.set(bytes, length);
    length += bytes.length;
  };
  /** @param {number} major @param {number|bigint} n */
  const head = (major, n) => {
    const size = n < 24 ? 0 : n < 0x100 ? 1 : n < 0x10000 ? 2 : n < 0x100000000 ? 4 : 8;
    const bytes = [major << 5 | (size === 0 ? Number(n) : 24 + Math.log2(size))];
    for (let shift = 8 * size - 8; shift >= 0; shift -= 8) bytes.push(Number(BigInt(n) >> BigInt(shift) & 255n));
    put(bytes);
  };
  /** @param {any} item */
  const write = (item) => {
    if (typeof item === 'bigint' || Number.isSafeInteger(item)) {
      if (item < 0) head(1, -1n - BigInt(item));
      else head(0, item);
    } else if (typeof item === 'string') {
      const bytes = text.encode(item);
      head(3, bytes.length);
      put(bytes);
    } else if (item instanceof Uint8Array) {
      head(2, item.length);
      put(item);
    } else if (Array.isArray(item)) {
      head(4, item.length);
      item.forEach(write);
    } else if (typeof item === 'boolean' || item === null) {
      put([item === null ? 0xf6 : item ? 0xf5 : 0xf4]);
    } else if (typeof item === 'object') {
      const entries = Object.entries(item).filter(([, field]) => field !== undefined);
      head(5, entries.length);
      for (const [key, field] of entries) {
        write(key);
        write(field);
      }
    } else throw new TypeError(`no CBOR for ${typeof item}: ${item}`);
  };
  write(value);
  return out.slice(0, length);
}

/**
 * @param {Uint8Array} bytes exactly one item
 * @returns {any} maps without a prototype; a tag is passed over
 * @throws {RangeError} if it is not well-formed, of indefinite length, too deep, or has a key that is no text
 */
export function decode(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  /** @param {number} count */
  const take = (count) => {
    if (count > bytes.length - at) throw new RangeError('the item is cut short');
    at += count;
    return at - count;
  };
  /** @param {number} info @returns {number|bigint} */
  const argument = (info) => {
    if (info < 24) return info;
    if (info === 24) return bytes[take(1)];
    if (info === 25) return view.getUint16(take(2));
    if (info === 26) return view.getUint32(take(4));
    if (info !== 27) throw new RangeError('an item of indefinite length');
    const n = view.getBigUint64(take(8));
    return n <= Number.MAX_SAFE_INTEGER ? Number(n) : n;
  };
  /** @param {number} info */
  const simple = (info) => {
    if (info === 20 || info === 21) return info === 21;
    if (info === 22) return null;
    if (info === 23) return undefined;
    if (info === 25) return half(view.getUint16(take(2)));
    if (info === 26) return view.getFloat32(take(4));
    if (info === 27) return view.getFloat64(take(8));
    throw new RangeError(`a simple value of unknown kind ${info}`);
  };
  /** @param {number} depth @returns {any} */
  const read = (depth) => {
    const first = bytes[take(1)];
    const [major, info] = [first >> 5, first & 31];
    if (major === 7) return simple(info);
    const n = argument(info);
    if (major === 0) return n;
    if (major === 1) return typeof n === 'bigint' ? -1n - n : -1 - n;
    const count = Number(n);
    if (major === 2) return bytes.slice(take(count), at);
    if (major === 3) return utf8.decode(bytes.subarray(take(count), at));
    if (depth === MAX_DEPTH) throw new RangeError(`more than ${MAX_DEPTH} levels`);
    if (major === 6) return read(depth + 1);
    // Each item has a byte at least: what a length states is held against what is there.
    if (count > bytes.length - at) throw new RangeError('the item is cut short');
    if (major === 4) return Array.from({ length: count }, () => read(depth + 1));
    const map = Object.create(null);
    for (let i = 0; i < count; i++) {
      const key = read(depth + 1);
      if (typeof key !== 'string') throw new RangeError('a key that is no text');
      map[key] = read(depth + 1);
    }
    return map;
  };
  const item = read(0);
  if (at !== bytes.length) throw new RangeError('bytes after the item');
  return item;
}

/** @param {number} bits of a binary16 (IEEE 754) */
function half(bits) {
  const [sign, exponent, fraction] = [bits >> 15 ? -1 : 1, bits >> 10 & 31, bits & 1023];
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? 2 ** (exponent - 25) * (1024 + fraction) : 2 ** -24 * fraction);
}
