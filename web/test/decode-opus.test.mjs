import assert from 'node:assert/strict';
import test from 'node:test';
import { Decoding } from '../engine/decode.js';
import { frame } from './engine-help.mjs';

const BAD = Uint8Array.of(255, 255);

/** A decoder as browsers have it: asynchronous, and closed by a packet that it cannot decode. */
class Fake {
  static opened = [];
  waiting = [];
  closed = false;
  constructor(outlets) {
    this.outlets = outlets;
    Fake.opened.push(this);
  }
  decode(opus) {
    if (this.closed) throw new Error('closed');
    this.waiting.push(opus);
  }
  /** @param {number} [count] of packets, `swallowed` of which are not given back */
  work(count = this.waiting.length, isSwallowed = () => false) {
    for (const opus of this.waiting.splice(0, count)) {
      if (this.closed) return;
      if (opus === BAD) {
        this.closed = true;
        this.outlets.error(new Error('bad packet'));
      } else if (!isSwallowed(opus)) this.outlets.output(new Float32Array(960).fill(opus[0]));
    }
  }
  flush() {
    return Promise.resolve();
  }
  close() {
    this.closed = true;
  }
}

function setUp() {
  Fake.opened = [];
  const out = [];
  const decoding = new Decoding(({ place }, pcm) => out.push([place, pcm && pcm[0]]), (outlets) => new Fake(outlets));
  const push = (place, more) => decoding.push(0, { ...frame(place), opus: Uint8Array.of(place), place, at: 0, ...more });
  return { decoding, out, push };
}

test('what goes in comes out in order, with its place', () => {
  const { out, push } = setUp();
  for (const place of [5, 6, 7, 9]) push(place);
  Fake.opened[0].work();
  assert.deepEqual(out, [[5, 5], [6, 6], [7, 7], [9, 9]]);
});

test('a packet that cannot be decoded costs one frame', () => {
  const { decoding, out, push } = setUp();
  for (const place of [1, 2]) push(place);
  push(3, { opus: BAD });
  for (const place of [4, 5]) push(place);
  Fake.opened[0].work();
  push(6);
  Fake.opened[1].work();
  assert.deepEqual(out, [[1, 1], [2, 2], [3, null], [4, 4], [5, 5], [6, 6]]);
  assert.equal(decoding.errors, 1);
  assert.equal(Fake.opened.length, 2);
});

test('one that is refused at once costs one too', () => {
  const { out, push } = setUp();
  push(1);
  Fake.opened[0].work();
  Fake.opened[0].closed = true;
  push(2);
  push(3);
  Fake.opened[1].work();
  assert.deepEqual(out, [[1, 1], [2, null], [3, 3]]);
});

test('bad packets in a row cost as many, and no more', () => {
  const { out, push } = setUp();
  for (const place of [1, 2, 3]) push(place, { opus: BAD });
  push(4);
  for (let i = 0; i < Fake.opened.length; i++) Fake.opened[i].work();
  assert.deepEqual(out, [[1, null], [2, null], [3, null], [4, 4]]);
});

test('marks pass in their place', () => {
  const { out, push } = setUp();
  push(1);
  push(2, { opus: new Uint8Array(0), end: true });
  assert.deepEqual(out, []);
  Fake.opened[0].work();
  push(9, { opus: new Uint8Array(0), end: true });
  assert.deepEqual(out, [[1, 1], [2, null], [9, null]]);
});

test('what a decoder swallows is missed at the end of the talkspurt, and nothing is out of place behind it', async () => {
  const { out, push } = setUp();
  for (const place of [1, 2]) push(place);
  push(3, { end: true });
  Fake.opened[0].work(3, (opus) => opus[0] === 2);
  await new Promise((resolve) => setTimeout(resolve));
  push(50);
  Fake.opened[0].work();
  assert.deepEqual(out.map(([place]) => place), [1, 2, 3, 50]);
  assert.deepEqual(out[3], [50, 50]);
});

test('a replay that comes at once waits for the decoder and costs nothing', () => {
  const { decoding, out, push } = setUp();
  for (let place = 0; place < 100; place++) push(place);
  assert.equal(Fake.opened[0].waiting.length, 25, 'no more is in it than it takes');
  while (Fake.opened[0].waiting.length) Fake.opened[0].work(10);
  assert.deepEqual(out.map(([place, pcm]) => [place, pcm]), Array.from({ length: 100 }, (_, place) => [place, place]));
  assert.equal(decoding.errors, 0);
});

test('what waits has a bound', () => {
  const { decoding, out, push } = setUp();
  for (let place = 0; place < 177; place++) push(place % 250);
  assert.equal(decoding.errors, 2);
  assert.equal(out.length, 2);
});

test('a decoder that hangs is replaced, and one that idles is closed', () => {
  const { decoding, out, push } = setUp();
  for (let place = 0; place < 25; place++) push(place);
  assert.equal(Fake.opened.length, 1);
  decoding.push(501, { ...frame(25), opus: Uint8Array.of(25), place: 25, at: 0 });
  assert.equal(Fake.opened.length, 2);
  assert.equal(Fake.opened[0].closed, true);
  assert.deepEqual(out, [[0, null]]);
  Fake.opened[1].work();
  assert.equal(out.length, 26);
  decoding.tick(9000);
  assert.equal(Fake.opened[1].closed, false);
  decoding.tick(10_502);
  assert.equal(Fake.opened[1].closed, true);
  push(100);
  Fake.opened[2].work();
  assert.deepEqual(out.at(-1), [100, 100]);
});

test('what comes from a decoder that has been replaced is not heard', () => {
  const { decoding, out, push } = setUp();
  for (let place = 0; place < 25; place++) push(place);
  decoding.push(501, { ...frame(25), opus: Uint8Array.of(25), place: 25, at: 0 });
  Fake.opened[0].closed = false;
  Fake.opened[0].work(1);
  assert.deepEqual(out, [[0, null]]);
});
