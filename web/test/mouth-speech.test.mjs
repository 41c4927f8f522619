import assert from 'node:assert/strict';
import test from 'node:test';
import { Speaking } from '../engine/speaking.js';
import { Talkspurts, levelOf } from '../engine/voice.js';
import { parse } from '../engine/wire.js';

test('levels are those of RFC 6464', () => {
  assert.equal(levelOf(Float32Array.from([1, -1, 1, -1])), 0);
  const sine = Float32Array.from({ length: 960 }, (_, n) => Math.sin(2 * Math.PI * n / 96));
  assert.equal(levelOf(sine), 3);
  assert.equal(levelOf(sine.map((s) => s / 10)), 23);
  assert.equal(levelOf(new Float32Array(960)), 127);
  assert.equal(levelOf(new Float32Array(960).fill(1e-9)), 127);
  assert.equal(levelOf(new Float32Array(16).fill(4)), 0, 'beyond overload is clamped');
});

/** @param {number[]} levels */
const through = (levels, open = () => true, talkspurts = new Talkspurts()) => levels.map((level, n) => talkspurts.handleFrame(level, open(n)));

test('a talkspurt outlasts the voice, ends once, and silence is not sent', () => {
  const all = through([...Array(50).fill(75), ...Array(20).fill(25), ...Array(60).fill(75)]);
  assert.ok(all.slice(0, 50).every(({ send }) => !send));
  assert.ok(all.slice(50, 70).every(({ send, voiced, end }) => send && voiced && !end));
  const after = all.slice(70);
  assert.equal(after.findIndex(({ end }) => end), 15 - 1);
  assert.equal(after.filter(({ end }) => end).length, 1);
  assert.ok(after.slice(0, 15).every(({ send, voiced }) => send && !voiced));
  assert.ok(after.slice(15).every(({ send }) => !send));
});

test('a noisy room is not speech, but speech in it is', () => {
  const talkspurts = new Talkspurts();
  const fan = through(Array.from({ length: 2000 }, (_, n) => 45 + n % 3), undefined, talkspurts);
  assert.ok(fan.slice(1900).every(({ send }) => !send));
  assert.ok(through([34, 33, 30], undefined, talkspurts).every(({ voiced }) => voiced));
  const sustained = through(Array(3000).fill(20), undefined, talkspurts);
  assert.ok(sustained.every(({ voiced }) => voiced), 'a note that is held for a minute is sound');
});

test('whoever mutes ends the talkspurt at once', () => {
  const all = through(Array(10).fill(20), (n) => n < 5);
  assert.deepEqual(all.map(({ send }) => send), [true, true, true, true, true, true, false, false, false, false]);
  assert.deepEqual([all[5].end, all[5].voiced], [true, false]);
});

const spoken = (seq, more) => ({ seq: seq & 0xffff, level: 30, voiced: true, end: false, captured: 5e6, error: 100, opus: Uint8Array.of(252, 1, 2), ...more });
const clock = { offset: 1e6, error: 50, roundTrip: 40_000 };
const sent = (datagram) => parse(datagram).frames.map(({ source, frame }) => [source, frame.seq]);

test('onset is said by the first sixteen frames, the capture time by the first and one a second', () => {
  const speaking = new Speaking(9);
  const frames = [];
  for (let n = 0; n < 120; n++) {
    speaking.handleFrame(n * 20, spoken(65_500 + n, { end: n === 99 }), clock, 40);
    frames.push(parse(speaking.datagram(false)).frames[0].frame);
  }
  assert.deepEqual(frames.map(({ onset }) => onset).slice(0, 18), [...Array(16).keys(), null, null]);
  assert.equal(frames[100].onset, 0, 'and again by the next talkspurt');
  assert.deepEqual(frames.flatMap(({ captured }, n) => (captured === null ? [] : [n])), [0, 50, 100]);
  assert.deepEqual([frames[0].captured, frames[0].error, frames[0].track], [6e6, 150, 9]);
  const without = new Speaking(9);
  without.handleFrame(0, spoken(0), null, 40);
  assert.equal(parse(without.datagram(false)).frames[0].frame.captured, null);
});

test('the last two seconds are sent again on request, and not more than was sent', () => {
  const speaking = new Speaking(9);
  for (let seq = 0; seq < 150; seq++) speaking.handleFrame(seq * 20, spoken(seq), clock, 40);
  const ask = (first, count, track = 9) => speaking.answer({ kind: 'nack', channel: 0, track, first, count });
  assert.equal(ask(40, 10), null, 'too old');
  assert.deepEqual(sent(ask(48, 4)), [['repair', 50], ['repair', 51]]);
  assert.deepEqual(sent(ask(149, 2)), [['repair', 149]]);
  assert.equal(ask(100, 1, 4), null);
  let answered = 0;
  for (let i = 0; i < 60; i++) answered += ask(100, 1) ? 1 : 0;
  assert.equal(answered, 47, 'three are used up');
});

test('an answer is no larger than a datagram', () => {
  const speaking = new Speaking(9);
  for (let seq = 0; seq < 50; seq++) speaking.handleFrame(seq * 20, spoken(seq, { opus: new Uint8Array(200).fill(1) }), clock, 40);
  const answer = speaking.answer({ kind: 'nack', channel: 0, track: 9, first: 0, count: 50 });
  assert.ok(answer.length <= 1162 && parse(answer).frames.length === 5);
});

test('frames are said twice where the way loses them, and no longer when it does not', () => {
  const speaking = new Speaking(9);
  let seq = 0;
  const talk = (seconds, loss) => {
    for (let n = 0; n < seconds * 50; n++, seq++) {
      speaking.handleFrame(seq * 20, spoken(seq), clock, 60);
      if (loss && seq % loss === 0) speaking.answer({ kind: 'nack', channel: 0, track: 9, first: seq & 0xffff, count: 1 });
    }
  };
  talk(6, 0);
  assert.equal(speaking.again, 0);
  talk(6, 20);
  assert.equal(speaking.again, 1);
  assert.deepEqual(sent(speaking.datagram(true)), [['again', seq - 2], ['sent', seq - 1]]);
  assert.deepEqual(sent(speaking.datagram(false)), [['sent', seq - 1]], 'not to who does not know it');
  talk(12, 20);
  assert.equal(speaking.again, 2);
  talk(90, 0);
  assert.equal(speaking.again, 0);
});

test('what a silence lies between is not said again', () => {
  const speaking = new Speaking(9);
  speaking.again = 2;
  for (const seq of [7, 65_535, 0]) speaking.handleFrame(0, spoken(seq), clock, 40);
  assert.deepEqual(sent(speaking.datagram(true)), [['again', 65_535], ['sent', 0]]);
});
