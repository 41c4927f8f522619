import assert from 'node:assert/strict';
import test from 'node:test';
import { decode, encode } from '../engine/cbor.js';
import { hex, random, vectors } from './engine-help.mjs';

const bytes = (text) => Uint8Array.from(Buffer.from(text.replace(/ /g, ''), 'hex'));

test('integers have the shortest form, and are exact', () => {
  for (const [value, form] of [
    [0, '00'], [23, '17'], [24, '1818'], [255, '18ff'], [256, '190100'], [65_535, '19ffff'], [65_536, '1a00010000'],
    [2 ** 32 - 1, '1affffffff'], [2 ** 32, '1b0000000100000000'], [Number.MAX_SAFE_INTEGER, '1b001fffffffffffff'],
    [2n ** 64n - 1n, '1bffffffffffffffff'], [-1, '20'], [-24, '37'], [-25, '3818'], [-(2n ** 64n), '3bffffffffffffffff'],
  ]) {
    assert.equal(hex(encode(value)), form);
    assert.equal(decode(bytes(form)), value);
  }
  assert.equal(decode(bytes('1b0000000000000001')), 1, 'longer forms are read too');
});

test('whatever is written is read back', () => {
  const next = random(7);
  const make = (depth) => {
    const kind = Math.floor(next() * (depth > 10 ? 6 : 8));
    if (kind === 0) return Math.floor(next() * 2 ** 53);
    if (kind === 1) return -1 - Math.floor(next() * 2 ** 40);
    if (kind === 2) return 2n ** 60n + BigInt(Math.floor(next() * 1e9));
    if (kind === 3) return 'Ünïcödé 🎙️'.slice(0, Math.floor(next() * 8)).toWellFormed?.() ?? 'x';
    if (kind === 4) return Uint8Array.from({ length: next() * 300 }, () => next() * 256);
    if (kind === 5) return [true, false, null][Math.floor(next() * 3)];
    if (kind === 6) return Array.from({ length: next() * 4 }, () => make(depth + 1));
    return Object.fromEntries(Array.from({ length: next() * 4 }, (_, i) => [`key${i}`, make(depth + 1)]));
  };
  for (let i = 0; i < 500; i++) {
    const value = make(1);
    assert.deepEqual(plain(decode(encode(value))), value);
  }
});

/** Maps come without a prototype. */
function plain(item) {
  if (Array.isArray(item)) return item.map(plain);
  if (item === null || typeof item !== 'object' || item instanceof Uint8Array) return item;
  return Object.fromEntries(Object.entries(item).map(([key, field]) => [key, plain(field)]));
}

test('no prefix of an item is an item, and nothing follows it', () => {
  for (const [name, whole] of vectors) {
    if (!/^(control|trunk)-/.test(name)) continue;
    const body = whole.subarray(whole[0] >> 6 ? 2 : 1);
    decode(body);
    for (let length = 0; length < body.length; length++) {
      assert.throws(() => decode(body.subarray(0, length)), RangeError, `${name} up to ${length}`);
    }
    assert.throws(() => decode(Uint8Array.of(...body, 0)), /after the item/);
  }
});

test('what the protocol does not have is refused', () => {
  for (const [form, why] of [
    ['9fff', /indefinite/], ['bfff', /indefinite/], ['5f4100ff', /indefinite/], ['7f6161ff', /indefinite/],
    ['1c', /indefinite/], ['a10102', /no text/], ['61ff', /encoded|data/i], ['f8ff', /simple/], ['fc', /simple/],
    ['9bffffffffffffffff', /cut short/], ['bb0000000100000000', /cut short/], ['5affffffff00', /cut short/],
  ]) assert.throws(() => decode(bytes(form)), why, form);
  assert.throws(() => encode({ a: 1.5 }), TypeError);
  assert.throws(() => encode(() => {}), TypeError);
});

test('levels are counted: 12 are read, 13 are not', () => {
  const nested = (depth) => bytes('81'.repeat(depth) + '00');
  assert.ok(decode(nested(12)));
  assert.throws(() => decode(nested(13)), /levels/);
  assert.throws(() => decode(bytes('c1'.repeat(13) + '00')), /levels/, 'tags are levels too');
});

test('a key cannot reach the prototype, and floats of other peers are passed over', () => {
  const map = decode(bytes('a1695f5f70726f746f5f5fa1 6161 01'));
  assert.equal({}.a, undefined);
  assert.deepEqual(Object.keys(map), ['__proto__']);
  assert.equal(decode(bytes('f93e00')), 1.5);
  assert.equal(decode(bytes('f90001')), 2 ** -24);
  assert.equal(decode(bytes('f97c00')), Infinity);
  assert.equal(decode(bytes('fb3ff8000000000000')), 1.5);
  assert.equal(decode(bytes('c11a00000001')), 1, 'a tag is passed over');
});
