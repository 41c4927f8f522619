import assert from 'node:assert/strict';
import test from 'node:test';
import { encode } from '../engine/cbor.js';
import { ControlReader, Requests, frameMessage } from '../engine/control.js';
import { varint } from '../engine/wire.js';
import { hex, vectors } from './engine-help.mjs';

const control = [...vectors].filter(([name]) => /^(control|trunk)-/.test(name));

test('the vectors are messages, whole or split anywhere', () => {
  assert.equal(control.length, 8);
  for (const [name, bytes] of control) {
    const [message] = new ControlReader().push(bytes);
    assert.equal(typeof message.type, 'string', name);
    for (let at = 0; at <= bytes.length; at++) {
      const reader = new ControlReader();
      const parts = [...reader.push(bytes.subarray(0, at)), ...reader.push(bytes.subarray(at))];
      assert.deepEqual(parts, [message], `${name} at ${at}`);
      assert.equal(reader.kept.length, 0);
    }
    const reader = new ControlReader();
    assert.deepEqual([...bytes].flatMap((byte) => reader.push(Uint8Array.of(byte))), [message], 'byte by byte');
  }
  const all = Uint8Array.from(control.flatMap(([, bytes]) => [...bytes]));
  assert.equal(new ControlReader().push(all).length, control.length);
});

test('what is written is what the specification has', () => {
  const join = frameMessage({ id: 1, type: 'join', room: 'stage', session: new Uint8Array(16).fill(7), name: 'Ada', role: 'speaker', token: undefined });
  assert.equal(hex(join), hex(vectors.get('control-join')));
  const silence = frameMessage({ id: 2, type: 'govern', act: { do: 'silence', participant: '81985529216486895', on: true, reason: 'please stop' } });
  assert.equal(hex(silence), hex(vectors.get('control-silence')));
});

test('ids are strings of digits, small ones too', () => {
  const [joined] = new ControlReader().push(vectors.get('control-joined'));
  assert.equal(joined.you.participant, '81985529216486895');
  assert.equal(joined.stage[0].participant, '81985529216486895');
  assert.equal(joined.listeners, 40);
  const [deliver] = new ControlReader().push(vectors.get('trunk-deliver'));
  assert.equal(deliver.participant, '1');
});

test('a length is checked before the body comes', () => {
  const reader = new ControlReader();
  assert.throws(() => reader.push(Uint8Array.from(varint(16_385))), { code: 'protocol', closeCode: 2 });
  assert.deepEqual(new ControlReader().push(Uint8Array.from(varint(16_384))), []);
  assert.throws(() => frameMessage({ type: 'errand', token: 'x'.repeat(16_384) }), { code: 'too_long' });
});

test('what is no message closes the connection with 0x01', () => {
  for (const body of [Uint8Array.of(0xff), encode([1]), encode({ id: 1 }), encode({ type: 7 }), encode('type'), encode(null), Uint8Array.of(0xa1, 0x61)]) {
    assert.throws(() => new ControlReader().push(Uint8Array.of(body.length, ...body)), { code: 'protocol', closeCode: 1 });
  }
});

/** @param {Requests} requests */
function ask(requests, message) {
  let bytes;
  const answer = new Promise((resolve, reject) => {
    bytes = requests.ask(0, message, resolve, reject);
  });
  return { bytes, answer };
}

test('answers find their requests, in any order', async () => {
  const requests = new Requests();
  const first = ask(requests, { type: 'react' });
  const second = ask(requests, { type: 'raise_hand' });
  const [{ id: a }, { id: b }] = [...new ControlReader().push(first.bytes), ...new ControlReader().push(second.bytes)];
  assert.notEqual(a, b);
  assert.equal(requests.handleAnswer({ type: 'stage' }), false);
  assert.equal(requests.handleAnswer({ type: 'err', id: b, code: 'slow_mode', message: 'Wait.' }), true);
  assert.equal(requests.handleAnswer({ type: 'ok', id: a }), true);
  assert.equal(requests.handleAnswer({ type: 'ok', id: a }), false, 'once');
  assert.equal((await first.answer).type, 'ok');
  await assert.rejects(second.answer, { code: 'slow_mode', message: 'Wait.' });
});

test('requests do not wait for ever, nor without number', async () => {
  const requests = new Requests();
  const { answer } = ask(requests, { type: 'react' });
  requests.expire(9_999);
  assert.equal(requests.pending.size, 1);
  requests.expire(10_000);
  await assert.rejects(answer, { code: 'unavailable' });
  const waiting = Array.from({ length: 32 }, () => ask(requests, { type: 'react' }).answer);
  assert.throws(() => requests.ask(0, { type: 'react' }, () => {}, () => {}), { code: 'busy' });
  requests.expire(Infinity);
  for (const lost of waiting) await assert.rejects(lost, { code: 'unavailable' });
});
