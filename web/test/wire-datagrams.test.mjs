import assert from 'node:assert/strict';
import test from 'node:test';
import { distance, parse, readVarint, varint, writeFrame, writeMedia, writeNack, writeQuestion } from '../engine/wire.js';
import { frame, hex, random, vectors } from './engine-help.mjs';

const vector = (name) => vectors.get(name) ?? assert.fail(`no vector ${name}`);

test('the vectors of media are read and written', () => {
  const one = parse(vector('media-1'));
  assert.deepEqual(one, { kind: 'media', channel: 0, whole: true, frames: [{ source: 'sent', frame: frame(0) }] });
  assert.equal(hex(writeMedia(0, [writeFrame(frame(0))])), hex(vector('media-1')));

  const two = parse(vector('media-2'));
  assert.equal(two.channel, 64);
  assert.deepEqual(two.frames[1].frame, frame(65_535, { track: 300, level: 127, voiced: false, end: true, captured: 1_700_000_000_000_000, opus: new Uint8Array(0) }));
  assert.equal(hex(writeFrame(two.frames[1].frame)), hex(vector('media-2')).slice(-34));

  const redundant = parse(vector('media-3'));
  assert.deepEqual(redundant.frames.map(({ source, frame }) => [source, frame.seq]), [['again', 0], ['sent', 1]]);
  const frames = redundant.frames.map(({ frame }) => writeFrame(frame));
  assert.equal(hex(writeMedia(4, frames, 1)), hex(vector('media-3')));

  const onset = parse(vector('media-4'));
  assert.equal(onset.frames[0].frame.onset, 2);
  assert.equal(hex(writeMedia(0, [writeFrame(onset.frames[0].frame)])), hex(vector('media-4')));
});

test('the vectors of NACKs and probes are read and written', () => {
  assert.deepEqual(parse(vector('nack-1')), { kind: 'nack', channel: 0, track: 7, first: 65_535, count: 3 });
  assert.equal(hex(writeNack(7, 65_535, 3)), hex(vector('nack-1')));
  assert.deepEqual(parse(vector('probe-1')), { kind: 'question', asked: 1_000_000 });
  assert.equal(hex(writeQuestion(1_000_000)), hex(vector('probe-1')));
  assert.deepEqual(parse(vector('probe-2')), {
    kind: 'answer', asked: 1_000_000, received: 1_700_000_000_000_000, answered: 1_700_000_000_000_250, error: 400,
  });
});

test('a datagram that is cut short gives the frames before, and no more', () => {
  for (const name of ['media-1', 'media-2', 'media-3', 'media-4', 'nack-1', 'probe-1', 'probe-2']) {
    const whole = vector(name);
    const complete = parse(whole);
    for (let length = 0; length < whole.length; length++) {
      const part = parse(whole.subarray(0, length));
      if (part === null) continue;
      assert.equal(part.kind, 'media', `${name} up to ${length}`);
      assert.ok(part.frames.length < complete.frames.length, `${name} up to ${length}`);
      assert.deepEqual(part.frames, complete.frames.slice(0, part.frames.length));
    }
  }
});

test('limits', () => {
  const head = (length, more = 0) => Uint8Array.of(0, 0, 1, 0, 0, 30, ...varint(length << 2 | more));
  const media = (...parts) => parse(Uint8Array.from(parts.flatMap((part) => [...part])));
  assert.equal(media(head(640), new Uint8Array(640)).frames.length, 1);
  assert.equal(media(head(641), new Uint8Array(641)).frames.length, 0);
  assert.equal(media(head(0, 2), [64], new Uint8Array(64).fill(9)).frames.length, 0, 'an extension longer than its area');
  assert.equal(media(head(0, 2), [65], new Uint8Array(65)).whole, false);
  assert.equal(media(head(0, 2), [3, 1, 1, 7]).whole, false, 'a capture time of one byte');
  assert.equal(media(head(0, 2), [11, 1, 9], new Uint8Array(9)).whole, false, 'one of nine');
  assert.equal(media(head(0, 2), [5, 9, 3, 1, 2, 3]).frames.length, 1, 'an unknown extension is passed over');
  const many = Array.from({ length: 40 }, (_, n) => writeFrame(frame(n)));
  assert.deepEqual([parse(writeMedia(0, many)).frames.length, parse(writeMedia(0, many)).whole], [32, false]);
  assert.equal(parse(Uint8Array.of(1, 0, 7, 0, 0, 51)), null);
  assert.equal(parse(Uint8Array.of(1, 0, 7, 0, 0, 0)), null);
  assert.equal(parse(Uint8Array.of(9, 0)), null);
  assert.equal(parse(new Uint8Array(0)), null);
  assert.equal(parse(Uint8Array.of(4, 0, 33, 1)), null, 'more said again than a datagram holds');
  assert.equal(parse(head(0)).frames[0].frame.end, true, 'length 0 is a mark');
});

test('varints', () => {
  for (const [value, form] of [[0, '00'], [63, '3f'], [64, '4040'], [16_383, '7fff'], [16_384, '80004000'], [2 ** 30 - 1, 'bfffffff'], [2 ** 32 - 1, 'c0000000ffffffff']]) {
    assert.equal(hex(varint(value)), form);
    assert.deepEqual(readVarint(Uint8Array.from(varint(value)), 0), { value, next: form.length / 2 });
  }
  assert.deepEqual(readVarint(Uint8Array.of(0x40, 1), 0), { value: 1, next: 2 });
  assert.equal(readVarint(Uint8Array.of(0x40), 0), null);
  assert.equal(readVarint(new Uint8Array(0), 0), null);
});

test('any bytes are read without an exception, and what is read is written back', () => {
  const next = random(11);
  for (let i = 0; i < 20_000; i++) {
    const bytes = Uint8Array.from({ length: next() * 80 }, () => next() * 256);
    bytes[0] %= 7;
    bytes[1] %= 4;
    const read = parse(bytes);
    for (const { frame } of read?.frames ?? []) {
      const again = parse(writeMedia(0, [writeFrame(frame)]));
      assert.deepEqual({ ...again.frames[0].frame }, frame);
    }
  }
});

test('sequence numbers go round', () => {
  assert.equal(distance(65_535, 0), 1);
  assert.equal(distance(0, 65_535), -1);
  assert.equal(distance(0, 32_767), 32_767);
  assert.equal(distance(0, 32_768), -32_768);
});
