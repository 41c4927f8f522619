import assert from 'node:assert/strict';
import test from 'node:test';
import { Hearing } from '../engine/hearing.js';
import { Receiver } from '../engine/receive.js';
import { reachOf } from '../engine/repair.js';
import { parse } from '../engine/wire.js';
import { frame, random } from './engine-help.mjs';

const live = () => new Receiver(reachOf(0), 50);
const seqs = (frames) => frames.map(({ seq }) => seq);

/** Lets all frames come, each `[at, seq, more, source]`, and looks every 5 ms. */
function run(receiver, arrivals, { until = 1000, ask = () => {} } = {}) {
  const out = [];
  const queue = arrivals.slice().sort((a, b) => a[0] - b[0]);
  for (let now = 0; now <= until; now += 5) {
    while (queue.length && queue[0][0] <= now) {
      const [, seq, more, source = 'sent'] = queue.shift();
      receiver.handleFrame(now, frame(seq, more), source);
    }
    for (const { first, count } of receiver.pollAsk(now, 40)) ask(now, first, count, (...arrival) => queue.push(arrival) && queue.sort((a, b) => a[0] - b[0]));
    out.push(...receiver.poll(now).map((placed) => ({ ...placed, now })));
  }
  return out;
}

test('frames in order go through at once, over the end of the numbers too', () => {
  const receiver = live();
  const out = run(receiver, Array.from({ length: 20 }, (_, n) => [20 * n, 65_526 + n]));
  assert.deepEqual(seqs(out), Array.from({ length: 20 }, (_, n) => 65_526 + n & 0xffff));
  assert.ok(out.every(({ now, at }) => now === at));
  assert.ok(out.every(({ place }, n) => place === out[0].place + n), 'places do not go round');
  assert.deepEqual(receiver.counts, { received: 20, lost: 0, repaired: 0, answered: 0, late: 0, runs: 0, duplicate: 0 });
});

test('reordered and doubled frames come out once and in order', () => {
  const receiver = live();
  const out = run(receiver, [[0, 1], [20, 3], [25, 2], [25, 2], [40, 4], [45, 1], [60, 5]]);
  assert.deepEqual(seqs(out), [1, 2, 3, 4, 5]);
  assert.equal(receiver.counts.duplicate, 2);
  assert.equal(receiver.counts.lost, 0);
});

test('a lost frame is asked for, again after a round trip and a quarter, and waited for until its turn', () => {
  const receiver = new Receiver(reachOf(500), 400);
  const asked = [];
  const arrivals = Array.from({ length: 30 }, (_, n) => [20 * n, n]).filter(([, seq]) => seq !== 10);
  receiver.turn = { place: 65_536, at: 500 };
  const out = run(receiver, arrivals, {
    ask: (now, first, count, come) => {
      if (first > 10) return;
      asked.push(now);
      assert.deepEqual([first, count], [10, 1]);
      if (asked.length === 3) come(now + 40, 10, {}, 'repair');
    },
  });
  assert.deepEqual(asked, [220, 270, 320]);
  assert.deepEqual(seqs(out), Array.from({ length: 30 }, (_, n) => n));
  assert.deepEqual([receiver.counts.repaired, receiver.counts.answered, receiver.counts.lost], [1, 1, 0]);
});

test('what nobody has is let go when its turn comes, and asked for no longer than it is of use', () => {
  const receiver = new Receiver(reachOf(500), 400);
  receiver.turn = { place: 65_536, at: 500 };
  const asked = [];
  const arrivals = Array.from({ length: 60 }, (_, n) => [20 * n, n]).filter(([, seq]) => seq !== 10);
  const out = run(receiver, arrivals, { until: 1300, ask: (now, first) => first === 10 && asked.push(now) });
  const eleven = out.find(({ seq }) => seq === 11);
  assert.equal(eleven.now, 690, 'some milliseconds before it is heard');
  assert.equal(asked.length, 8);
  assert.ok(asked.at(-1) <= 220 + 500 - 40);
  assert.equal(receiver.counts.lost, 1);
  assert.equal(receiver.counts.runs, 1);
});

test('a frame that comes after its turn is dropped, and told to whoever chooses the delay', () => {
  const receiver = live();
  receiver.turn = { place: 65_536, at: 60 };
  const out = run(receiver, [[0, 0], [40, 2], [60, 3], [200, 1, {}, 'repair']], { until: 300 });
  assert.deepEqual(seqs(out), [0, 2, 3]);
  assert.equal(receiver.counts.late, 1);
  assert.deepEqual(receiver.late.map(({ place, at }) => [place & 0xffff, at]), [[1, 200]]);
});

test('a frame said again mends a loss without a question', () => {
  const receiver = live();
  const asked = [];
  const out = run(receiver, [[0, 0], [40, 1, {}, 'again'], [40, 2], [60, 3], [60, 2, {}, 'again']], { until: 100, ask: (now) => asked.push(now) });
  assert.deepEqual(seqs(out), [0, 1, 2, 3]);
  assert.equal(receiver.counts.repaired, 1);
  assert.equal(receiver.counts.duplicate, 0);
  assert.deepEqual(asked, []);
});

test('silence that was announced is no gap', () => {
  const receiver = live();
  const asked = [];
  const out = run(receiver, [[0, 0], [20, 1, { end: true }], [900, 45], [920, 46]], { ask: (now, first) => asked.push(first) });
  assert.deepEqual(seqs(out), [0, 1, 45, 46]);
  assert.equal(out[2].now, 900);
  assert.ok(!asked.some((first) => first < 46), 'but what is overdue at the end');
  assert.equal(receiver.counts.lost, 0);
});

test('the beginning of a talkspurt is asked for by its onset', () => {
  const receiver = live();
  const asked = [];
  const out = run(receiver, [[0, 0, { end: true }], [900, 45, { onset: 2 }], [920, 46, { onset: 3 }]], {
    ask: (now, first, count, come) => {
      asked.push([first, count]);
      if (first === 43) for (const seq of [43, 44]) come(now + 30, seq, { onset: seq - 43 }, 'repair');
    },
  });
  assert.deepEqual(asked[0], [43, 2]);
  assert.deepEqual(seqs(out), [0, 43, 44, 45, 46]);
});

test('the end of what has come is asked for when it is overdue, two frames and twice', () => {
  const receiver = live();
  const asked = [];
  run(receiver, [[0, 0], [20, 1], [40, 2]], { ask: (now, first, count) => asked.push([now, first, count]) });
  const frames = asked.flatMap(([, first, count]) => Array.from({ length: count }, (_, n) => first + n));
  assert.deepEqual([...new Set(frames)], [3, 4]);
  assert.equal(frames.length, 4);
  assert.equal(asked[0][0], 40 + 20 + 40);
});

test('an outage is not asked for in live; in audience as far as the buffer reaches', () => {
  for (const [delay, expected] of [[0, 0], [500, 20]]) {
    const receiver = new Receiver(reachOf(delay), 50);
    let asked = 0;
    run(receiver, [[0, 0], [420, 21]], { until: 425, ask: (now, first, count) => first <= 20 && now >= 420 && (asked += count) });
    assert.equal(asked, expected, `delay ${delay}`);
  }
});

test('questions are no more than 25 at once, and one for each frame', () => {
  const receiver = new Receiver(reachOf(2000), 50);
  receiver.handleFrame(0, frame(0), 'sent');
  let asked = 0;
  for (let seq = 2; seq < 90; seq += 2) {
    receiver.handleFrame(0, frame(seq), 'sent');
    asked += receiver.pollAsk(0, 40).length;
  }
  for (let now = 50; now < 400; now += 50) asked += receiver.pollAsk(now, 40).length;
  assert.ok(asked <= 25 + 45, `${asked}`);
});

test('a mark gives way to a frame of its place', () => {
  const receiver = live();
  const out = run(receiver, [[0, 0], [20, 1, { opus: new Uint8Array(0), end: true }], [30, 1], [40, 2]]);
  assert.deepEqual(out.map(({ seq, opus }) => [seq, opus.length]), [[0, 3], [1, 0], [1, 3], [2, 3]]);
});

test('a speaker that begins anew with other numbers is heard', () => {
  const receiver = live();
  const out = run(receiver, [[0, 5000], [20, 5001], [40, 100], [60, 101]]);
  assert.deepEqual(seqs(out), [5000, 5001, 100, 101]);
  assert.ok(out[2].place > out[1].place);
});

test('a lossy way: everything comes in order, once, and nearly all is mended', () => {
  for (const [loss, most] of [[0.1, 0], [0.3, 8]]) {
    const next = random(3);
    const receiver = new Receiver(reachOf(500), 400);
    receiver.turn = { place: 65_536 + 65_000, at: 540 };
    const count = 1500;
    const arrivals = [];
    for (let n = 0; n < count; n++) if (next() >= loss || n === 0) arrivals.push([20 * n + 20 + next() * 15, 65_000 + n]);
    const out = run(receiver, arrivals, {
      until: 20 * count + 1000,
      ask: (now, first, run, come) => {
        if (next() < loss) return;
        for (let n = 0; n < run; n++) {
          const seq = first + n & 0xffff;
          if ((seq - 65_000 & 0xffff) < count && next() >= loss) come(now + 40, seq, {}, 'repair');
        }
      },
    });
    const places = out.map(({ place }) => place);
    assert.ok(places.every((place, i) => i === 0 || place > places[i - 1]));
    assert.ok(count - out.length <= most, `${count - out.length} of ${count} at ${loss}`);
    assert.equal(receiver.counts.lost, count - out.length);
  }
});

test('bursts, and memory that stays bounded whatever comes', () => {
  const next = random(5);
  const receiver = live();
  for (let i = 0; i < 50_000; i++) {
    receiver.handleFrame(i, frame(Math.floor(next() * 65_536), { end: next() < 0.1, onset: next() < 0.3 ? Math.floor(next() * 256) : null }), ['sent', 'repair', 'late', 'again'][i & 3]);
    receiver.pollAsk(i, 40);
    if (i % 3 === 0) receiver.poll(i);
  }
  assert.ok(receiver.held.size <= 129 && receiver.repair.missing.length <= 100 && receiver.repair.answered.size <= 16);
  const unread = live();
  for (let seq = 0; seq < 2000; seq++) if (seq % 40) unread.handleFrame(0, frame(seq), 'sent');
  assert.ok(unread.held.size <= 129, `${unread.held.size}`);
  const asking = new Receiver(reachOf(2000), 50);
  for (let seq = 0; seq < 90; seq += 3) asking.handleFrame(0, frame(seq), 'sent');
  for (let seq = 1; seq < 90; seq += 3) asking.handleFrame(50, frame(seq), 'repair');
  assert.equal(asking.repair.answered.size, 16);
  const hearing = new Hearing();
  for (let track = 1; track < 100; track++) hearing.handleFrame(0, { frame: frame(0, { track }), source: 'sent' }, true);
  assert.equal(hearing.tracks.size, 32);
  assert.equal(hearing.retain([1, 2]).length, 30);
  assert.equal(hearing.counts.received, 32);
});

test('questions are datagrams of the protocol', () => {
  const hearing = new Hearing();
  for (const seq of [65_534, 2]) hearing.handleFrame(0, { frame: frame(seq, { track: 300 }), source: 'sent' }, true);
  const [nack] = hearing.pollAsk(0, 40);
  assert.deepEqual(parse(nack), { kind: 'nack', channel: 0, track: 300, first: 65_535, count: 3 });
});
