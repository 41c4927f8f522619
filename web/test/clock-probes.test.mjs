import assert from 'node:assert/strict';
import test from 'node:test';
import { Clock } from '../engine/clock.js';
import { random } from './engine-help.mjs';

const OFFSET = 7_000_000;

/** One exchange that takes so long each way, µs. */
function exchange(clock, now, there, back, error = 0) {
  assert.ok(clock.pollQuestion(now));
  const received = now + there + OFFSET;
  clock.handleAnswer(now + there + back, { kind: 'answer', asked: Math.round(now), received, answered: received, error });
}

test('the exchange with the smallest error is believed, and the truth lies within it', () => {
  const clock = new Clock();
  const next = random(2);
  for (let now = 1e6; now < 60e6; now += 1e6) {
    exchange(clock, now, 5000 + next() * 40_000, 5000 + next() * 40_000, 300);
    const best = clock.best(now);
    assert.ok(Math.abs(best.offset - OFFSET) <= best.error);
  }
  assert.ok(clock.roundTrip > 10 && clock.roundTrip < 90);
});

test('it asks every 100 ms until it has eight answers, then once a second', () => {
  const clock = new Clock();
  let asked = 0;
  for (let now = 0; now < 10e6; now += 10_000) {
    if (!clock.pollQuestion(now)) continue;
    asked++;
    clock.handleAnswer(now + 2000, { kind: 'answer', asked: now, received: now, answered: now, error: 0 });
  }
  assert.ok(asked >= 16 && asked <= 18, `${asked}`);
});

test('an estimate grows old', () => {
  const clock = new Clock();
  exchange(clock, 0, 1000, 1000);
  assert.equal(clock.best(2000).error, 1001);
  assert.equal(clock.best(1_002_000).error, 1401);
});

test('answers that nobody asked for, that say nothing or cannot be are not believed', () => {
  const clock = new Clock();
  assert.equal(clock.handleAnswer(10, { kind: 'answer', asked: 5, received: 6, answered: 7, error: 0 }), false);
  exchange(clock, 0, 1000, 1000, 2 ** 32 - 1);
  assert.equal(clock.best(0), null);
  clock.pollQuestion(200_000);
  clock.handleAnswer(200_010, { kind: 'answer', asked: 200_000, received: 0, answered: 500, error: 0 });
  assert.equal(clock.best(0), null, 'a negative round trip');
  assert.equal(clock.handleAnswer(200_010, { kind: 'answer', asked: 200_000, received: 0, answered: 5, error: 0 }), false, 'twice');
});
