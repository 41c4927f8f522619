// The whole way from a lossy network to the ear, in simulated time: reception, repair, decoding time, jitter buffer.
import assert from 'node:assert/strict';
import test from 'node:test';
import { JitterBuffer, Voice } from '../audio/jitter.js';
import { Hearing } from '../engine/hearing.js';
import { parse } from '../engine/wire.js';
import { frame, random } from './engine-help.mjs';

const QUANTUM = 128 / 48;
/** Messages between threads, and decoding. */
const HOP = 4;

/**
 * @param {{seconds: number, delay: number, loss: number, oneWay: number, jitter: number, burst?: number, seed?: number}} path
 */
function hear({ seconds, delay, loss, oneWay, jitter, burst = 1, seed = 1 }) {
  const next = random(seed);
  const hearing = new Hearing();
  hearing.setDelay(delay);
  const buffer = new JitterBuffer(delay);
  const voice = new Voice(buffer, 48_000);
  const pcm = new Float32Array(960).fill(0.1);
  /** What happens when, oldest first. @type {{at: number, run: (now: number) => void}[]} */
  const queue = [];
  const after = (at, run) => {
    let i = queue.length;
    while (i > 0 && queue[i - 1].at > at) i--;
    queue.splice(i, 0, { at, run });
  };
  let lost = 0;
  let isLost = 0;
  const travel = () => oneWay + next() * jitter;
  for (let n = 0; n < seconds * 50; n++) {
    if (isLost > 0) isLost--;
    else if (next() < loss / burst) isLost = burst;
    if (isLost > 0 && n > 0) lost++;
    else after(n * 20 + travel(), (now) => hearing.handleFrame(now, { frame: frame(n, { onset: n < 16 ? n : null }), source: 'sent' }, true));
  }
  const answer = (now, { first, count }) => {
    if (next() < loss) return;
    for (let i = 0; i < count; i++) {
      const seq = first + i & 0xffff;
      if (seq * 20 > now || next() < loss) continue;
      after(now + oneWay + travel(), (later) => hearing.handleFrame(later, { frame: frame(seq), source: 'repair' }, true));
    }
  };
  const quantum = new Float32Array(128);
  let said = 0;
  const delays = [];
  for (let now = 0; now < seconds * 1000; now += QUANTUM) {
    while (queue.length && queue[0].at <= now) queue.shift().run(now);
    for (const nack of hearing.pollAsk(now, 2 * oneWay)) answer(now, parse(nack));
    for (const { place, at, ...rest } of hearing.poll(now)) {
      after(now + HOP, (later) => buffer.push({ ...rest, place, at, pcm, held: later - at - HOP }, voice.pending));
    }
    for (const late of hearing.takeLate()) after(now + HOP, () => buffer.delay.record(late.at - late.place * 20));
    voice.mix(quantum);
    if (now - said < 100 && buffer.state !== 'waiting') continue;
    said = now;
    const inMs = (voice.pending + (buffer.state === 'waiting' ? buffer.wait : 0)) / 48;
    hearing.handleTurn(1, buffer.state === 'empty' ? -1 : buffer.next, now + inMs);
    if (buffer.state === 'playing') delays.push([now, buffer.measured]);
  }
  return { ...buffer.counts, frames: seconds * 50, missing: lost, mended: hearing.counts.repaired, delays };
}

test('a good path: nothing is concealed, and little is waited for', () => {
  const { concealed, late, stretched, delays } = hear({ seconds: 60, delay: 0, loss: 0, oneWay: 20, jitter: 3 });
  assert.deepEqual({ concealed, late, stretched }, { concealed: 0, late: 0, stretched: 0 });
  assert.ok(delays.at(-1)[1] < 45, `${delays.at(-1)[1]} ms`);
});

test('audience over a bad path: what is lost is mended', () => {
  for (const [loss, burst, most] of [[0.05, 1, 0], [0.1, 3, 0.002], [0.2, 1, 0.004]]) {
    const { concealed, frames, missing, delays } = hear({ seconds: 120, delay: 500, loss, burst, oneWay: 40, jitter: 20 });
    assert.ok(missing > frames * loss / 2);
    assert.ok(concealed <= frames * most, `${concealed} of ${missing} at ${loss} in runs of ${burst}`);
    assert.ok(Math.max(...delays.map(([, delay]) => delay)) < 620);
  }
});

test('live over a lossy path: the delay grows until what is asked for comes in time', () => {
  const { concealed, missing, delays } = hear({ seconds: 120, delay: 0, loss: 0.05, oneWay: 25, jitter: 5 });
  assert.ok(concealed < missing / 4, `${concealed} of ${missing}`);
  const last = delays.at(-1)[1];
  assert.ok(last > 60 && last < 180, `${last} ms`);
});

test('live with a loss now and then: it is concealed, and nothing is waited for', () => {
  const { concealed, missing, delays } = hear({ seconds: 120, delay: 0, loss: 0.004, oneWay: 60, jitter: 5 });
  assert.ok(concealed >= missing && concealed <= missing + 8, `${concealed} of ${missing}`);
  assert.ok(Math.max(...delays.map(([now, delay]) => (now > 15_000 ? delay : 0))) < 70);
});
