import assert from 'node:assert/strict';
import test from 'node:test';
import { Blocks } from '../audio/blocks.js';
import { JitterBuffer, Voice, limit } from '../audio/jitter.js';
import { random } from './engine-help.mjs';

const HZ = 440;

/** A tone as the sender has it, so that what is heard can be held against it. */
const tone = (place) => Float32Array.from({ length: 960 }, (_, n) => 0.5 * Math.sin(2 * Math.PI * HZ * (place * 960 + n) / 48_000));

/**
 * Plays what arrives, in simulated time.
 * @param {(n: number) => {at: number, lost?: boolean, end?: boolean, held?: number, level?: number}|null} arrival of the nth frame, ms
 */
function play({ seconds, fixed = 0, sampleRate = 48_000, arrival, keep = false, each = () => {}, pcmOf = tone }) {
  const buffer = new JitterBuffer(fixed);
  const voice = new Voice(buffer, sampleRate);
  const frames = [];
  for (let n = 0; n < seconds * 50 + 50; n++) {
    const come = arrival(n);
    if (come && !come.lost) frames.push({ ...come, n });
  }
  frames.sort((a, b) => a.at + (a.held ?? 0) - b.at - (b.held ?? 0));
  const heard = [];
  const quantum = new Float32Array(128);
  for (let done = 0; done / sampleRate < seconds; done += 128) {
    const now = done / sampleRate * 1000;
    while (frames.length && frames[0].at + (frames[0].held ?? 0) <= now) {
      const { n, at, end = false, held = 0, level = 20 } = frames.shift();
      buffer.push({ place: 1000 + n, pcm: pcmOf(n), end, level, voiced: true, at, held: held && now - at, captured: null, error: null }, voice.pending);
    }
    quantum.fill(0);
    voice.mix(quantum);
    if (keep) heard.push(...quantum);
    each(now, buffer, voice, quantum);
  }
  return { buffer, heard };
}

/** Frequency by upward zero crossings, Hz. */
function pitch(samples, sampleRate) {
  const crossings = [];
  for (let i = 1; i < samples.length; i++) {
    if (samples[i - 1] < 0 && samples[i] >= 0) crossings.push(i - samples[i] / (samples[i] - samples[i - 1]));
  }
  return (crossings.length - 1) * sampleRate / (crossings.at(-1) - crossings[0]);
}

test('what comes steadily is heard sample by sample', () => {
  const { buffer, heard } = play({ seconds: 4, fixed: 500, arrival: (n) => ({ at: n * 20 }), keep: true });
  const start = heard.findIndex((sample) => sample !== 0);
  assert.ok(Math.abs(start / 48 - 500) < 10, `after ${start / 48} ms`);
  assert.deepEqual([buffer.counts.concealed, buffer.counts.stretched, buffer.counts.underruns, buffer.counts.late], [0, 0, 0, 0]);
  assert.ok(Math.abs(pitch(heard.slice(start), 48_000) - HZ) < 0.05);
});

test('loss is concealed in place, and the delay does not grow', () => {
  const next = random(1);
  const lost = new Set(Array.from({ length: 3000 }, (_, n) => n).filter(() => next() < 0.05));
  lost.delete(0);
  const delays = [];
  const { buffer } = play({
    seconds: 60, arrival: (n) => ({ at: n * 20 + next() * 5, lost: lost.has(n) }),
    each: (now, { measured, delay, state }) => now > 10_000 && state === 'playing' && delays.push(measured),
  });
  assert.ok(Math.abs(buffer.counts.concealed - lost.size) <= lost.size * 0.05 + 3, `${buffer.counts.concealed} for ${lost.size}`);
  assert.equal(buffer.counts.late, 0);
  assert.ok(Math.max(...delays) < 60, `${Math.max(...delays)} ms`);
  assert.ok(buffer.next - 1000 > 2990, 'the last second is heard in its time');
});

test('a burst of losses takes as long as it took', () => {
  const at = [];
  play({
    seconds: 6, arrival: (n) => ({ at: n * 20, lost: n >= 100 && n < 104 }),
    each: (now, buffer) => at.push([now, buffer.next]),
  });
  const before = at.find(([, next]) => next === 1000 + 95)[0];
  const after = at.find(([, next]) => next === 1000 + 150)[0];
  assert.ok(Math.abs(after - before - 55 * 20) < 8, `${after - before}`);
});

test('after an underrun it fills up to its target before it plays', () => {
  let waited = 0;
  let began = 0;
  let target = 0;
  const { buffer } = play({
    seconds: 8, fixed: 300,
    // A second of nothing, then frames go on from where the talk is.
    arrival: (n) => ({ at: n * 20, lost: n >= 150 && n < 200 }),
    each: (now, { state, delay }) => {
      if (now < 4000 || began) return;
      if (state === 'waiting') waited ||= now;
      if (state === 'playing') [began, target] = [now, delay.target];
    },
  });
  assert.equal(buffer.counts.underruns, 1);
  assert.ok(began - 4000 > target - 25, `it began ${began - 4000} ms after the first frame, for a target of ${target}`);
  assert.ok(buffer.counts.concealed <= 6, 'it does not make up more than 100 ms');
});

test('a standstill is followed by all that waited, and by no second one', () => {
  const { buffer } = play({ seconds: 10, arrival: (n) => ({ at: n >= 200 && n < 215 ? 215 * 20 : n * 20 }) });
  assert.equal(buffer.counts.underruns, 1);
  assert.ok(buffer.counts.late <= 15);
  assert.ok(buffer.counts.played > 470);
});

test('200 ppm off for ten minutes: no skip, no concealment', () => {
  for (const ppm of [200, -200]) {
    for (const fixed of [0, 500]) {
      const next = random(ppm + 1000);
      const delays = [];
      const { buffer } = play({
        seconds: 600, fixed, arrival: (n) => ({ at: n * 20 * (1 + ppm / 1e6) + next() * 4 }), pcmOf: () => new Float32Array(960).fill(0.1),
        each: (now, { measured, delay, state }) => now > 20_000 && state === 'playing' && delays.push(measured - delay.target),
      });
      const { stretched, underruns, late, concealed } = buffer.counts;
      assert.deepEqual({ stretched, underruns, late, concealed: concealed > 3 }, { stretched: 0, underruns: 0, late: 0, concealed: false }, `${ppm} ppm, ${fixed} ms`);
      const worst = delays.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
      assert.ok(worst < (fixed ? 50 : 15), `${worst} ms off at ${ppm} ppm, ${fixed} ms`);
    }
  }
});

test('the delay grows with the network, and comes down within ten seconds', () => {
  const next = random(9);
  const delays = [];
  play({
    seconds: 40, arrival: (n) => ({ at: n * 20 + (n >= 500 && n < 1000 ? next() ** 3 * 250 : next() * 5) }),
    each: (now, { measured, state }) => state === 'playing' && delays.push([now, measured]),
  });
  const at = (ms) => delays.filter(([now]) => now >= ms && now < ms + 500).reduce((sum, [, delay], _, all) => sum + delay / all.length, 0);
  assert.ok(at(8000) < 60, `${at(8000)} ms before`);
  assert.ok(at(18_000) > 120, `${at(18_000)} ms while it is bad`);
  assert.ok(at(30_000) < 70, `${at(30_000)} ms ten seconds after`);
});

test('a late frame is not heard, and the next ones are waited for longer', () => {
  const next = random(4);
  const rough = play({ seconds: 30, arrival: (n) => ({ at: n * 20 + (n > 100 && next() < 0.1 ? 90 : 0) }) });
  assert.ok(rough.buffer.delay.target > 90, `${rough.buffer.delay.target}`);
  assert.ok(rough.buffer.counts.late < 40, `${rough.buffer.counts.late} late`);
});

test('devices of other rates keep the pitch', () => {
  for (const sampleRate of [44_100, 48_000, 96_000, 16_000]) {
    const { heard } = play({ seconds: 5, fixed: 200, sampleRate, arrival: (n) => ({ at: n * 20 }), keep: true });
    const steady = heard.slice(sampleRate);
    assert.ok(Math.abs(pitch(steady, sampleRate) - HZ) < 0.2, `${pitch(steady, sampleRate)} Hz at ${sampleRate}`);
    const peak = steady.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
    assert.ok(peak > 0.49 && peak < 0.51, `${peak}`);
  }
});

test('nothing clicks: losses, talkspurts and standstills', () => {
  const next = random(6);
  // Talkspurts of 580 ms, which end in the middle of a wave, every second, one frame in ten lost, and a frame held up now and then.
  const { heard } = play({
    seconds: 20, keep: true,
    arrival: (n) => (n % 50 >= 29 ? null : { at: n * 20 + (next() < 0.02 ? 70 : 0), lost: next() < 0.1, end: n % 50 === 28 }),
  });
  const steepest = 0.5 * 2 * Math.PI * HZ / 48_000;
  let worst = 0;
  for (let i = 1; i < heard.length; i++) worst = Math.max(worst, Math.abs(heard[i] - heard[i - 1]));
  assert.ok(worst < 5 * steepest, `a step of ${worst}, the tone has ${steepest}`);
});

test('a talkspurt shorter than the delay is heard, after its time', () => {
  const heardAt = [];
  const { buffer } = play({
    seconds: 4, fixed: 500, arrival: (n) => (n < 5 ? { at: n * 20, end: n === 4 } : null),
    each: (now, _, __, quantum) => quantum.some((sample) => Math.abs(sample) > 0.01) && heardAt.push(now),
  });
  assert.equal(buffer.counts.played, 5);
  assert.ok(Math.abs(heardAt[0] - 500) < 10 && Math.abs(heardAt.at(-1) - 600) < 15, `${heardAt[0]} to ${heardAt.at(-1)}`);
  assert.equal(buffer.counts.underruns, 0);
});

test('a frame that waited for one before it is heard in its time', () => {
  // Frame 20 is lost: those after it are held for 300 ms, then come together.
  const { buffer } = play({ seconds: 4, fixed: 500, arrival: (n) => ({ at: n * 20, lost: n === 20, held: n > 20 && n < 36 ? (36 - n) * 20 : 0 }) });
  assert.deepEqual([buffer.counts.concealed, buffer.counts.late, buffer.counts.stretched, buffer.counts.underruns], [1, 0, 0, 0]);
  assert.ok(Math.abs(buffer.measured - 500) < 12, `${buffer.measured}`);
});

test('pauses last as long as they were made', () => {
  const next = random(8);
  for (const fixed of [0, 500]) {
    // Words of 300 ms and pauses of 200 ms, over a network that jitters a little.
    const edges = [];
    let isLoud = false;
    let done = 0;
    play({
      seconds: 30, fixed, pcmOf: () => new Float32Array(960).fill(0.3),
      arrival: (n) => (n % 25 >= 15 ? null : { at: n * 20 + next() * 6, end: n % 25 === 14 }),
      each: (now, _, __, quantum) => {
        for (const sample of quantum) {
          if (sample > 0.15 !== isLoud) edges.push(done);
          isLoud = sample > 0.15;
          done++;
        }
      },
    });
    const words = edges.filter((_, i) => i % 2 === 0).slice(10);
    const off = words.slice(1).map((at, i) => Math.abs(at - words[i] - 24_000) / 48);
    assert.ok(words.length > 45 && Math.max(...off) < 2, `${Math.max(...off)} ms at ${fixed}`);
  }
});

test('what waits is bounded, whatever comes', () => {
  const buffer = new JitterBuffer(0);
  for (let place = 0; place < 5000; place++) buffer.push({ place, pcm: new Float32Array(960), end: false, level: 0, voiced: true, at: 0, held: 0, captured: null, error: null });
  assert.ok(buffer.frames.size <= 160);
});

test('a sum of voices stays within full scale', () => {
  assert.equal(limit(0.5), 0.5);
  assert.equal(limit(-0.8), -0.8);
  for (const x of [0.9, 1, 2, 8]) assert.ok(limit(x) < 1.0001 && limit(x) > 0.8 && limit(-x) === -limit(x));
});

test('a microphone of any rate gives blocks of 20 ms at 48 kHz', () => {
  for (const sampleRate of [48_000, 44_100, 16_000, 96_000]) {
    const blocks = new Blocks(sampleRate);
    const out = [];
    const samples = Float32Array.from({ length: sampleRate * 2 }, (_, n) => 0.5 * Math.sin(2 * Math.PI * HZ * n / sampleRate));
    for (let at = 0; at + 128 <= samples.length; at += 128) blocks.push(samples.subarray(at, at + 128), (block) => out.push(block));
    assert.ok(out.length >= 98 && out.length <= 100, `${out.length} at ${sampleRate}`);
    assert.ok(out.every((block) => block.length === 960));
    assert.ok(Math.abs(pitch(out.flatMap((block) => [...block]), 48_000) - HZ) < 0.3);
  }
});
