import assert from 'node:assert/strict';
import test from 'node:test';
import { ControlReader, frameMessage } from '../engine/control.js';
import { Session } from '../engine/session.js';
import { parse, writeFrame, writeMedia } from '../engine/wire.js';
import { frame } from './engine-help.mjs';

const LATENCY = 20;

/** Relays and the way to them, in simulated time. */
class World {
  time = 0;
  queue = [];
  /** Relays by address. */
  relays = new Map();
  events = [];
  env = {
    now: () => this.time,
    origin: 1.7e12,
    random: () => 0.5,
    emit: (event, detail) => this.events.push([event, detail]),
    dial: (address, handlers) => this.#dial(address, handlers),
  };

  after(ms, run) {
    this.queue.push({ at: this.time + ms, run });
    this.queue.sort((a, b) => a.at - b.at);
  }

  #dial(address, handlers) {
    const relay = this.relays.get(address);
    const peer = {
      isOpen: true, reader: new ControlReader(), messages: [], datagrams: [], relay,
      say: (message) => this.after(LATENCY, () => peer.isOpen && handlers.control(frameMessage(message))),
      send: (datagram) => this.after(LATENCY, () => peer.isOpen && handlers.datagram(datagram)),
      close: (code, reason = '') => this.after(LATENCY, () => {
        if (peer.isOpen) handlers.closed(code, reason);
        peer.isOpen = false;
      }),
    };
    const transport = {
      kind: 'webtransport',
      control: (bytes) => this.after(LATENCY, () => peer.isOpen && peer.reader.push(bytes).forEach((message) => relay.handle(peer, message))),
      datagram: (bytes) => this.after(LATENCY, () => peer.isOpen && !relay.isDead && relay.datagram(peer, bytes)),
      close: (code) => {
        peer.closedWith = code;
        peer.isOpen = false;
      },
    };
    this.after(LATENCY, () => {
      if (!relay || relay.isDead) return handlers.closed(undefined, 'nobody is there');
      relay.peers.push(peer);
      handlers.open(transport);
    });
    return () => {};
  }

  /** @param {number} ms @param {(now: number) => void} [each] every 10 ms */
  run(ms, session, each = () => {}) {
    const end = this.time + ms;
    while (this.time < end) {
      this.time += 10;
      while (this.queue.length && this.queue[0].at <= this.time) this.queue.shift().run();
      session.tick(() => ({ buffer: 60, concealed: 0, late: 0, latency: [80, 100], latencyError: 2 }));
      each(this.time);
    }
  }

  states() {
    return this.events.filter(([event]) => event === 'state').map(([, { state, why }]) => (why ? `${state} ${why.code}` : state));
  }
}

class Relay {
  peers = [];
  isDead = false;
  you = { participant: '5', role: 'listener' };
  /** What `join` is answered by instead. */
  refusal = null;

  constructor(world, address) {
    this.address = address;
    world.relays.set(address, this);
  }
  get peer() {
    return this.peers.at(-1);
  }
  handle(peer, message) {
    if (this.isDead) return;
    peer.messages.push(message);
    const { type, id } = message;
    if (type === 'join' && this.refusal) {
      if (this.refusal.to) peer.say({ type: 'moved', to: this.refusal.to, within_ms: 1000 });
      peer.say({ type: 'err', id, code: this.refusal.code, message: 'No.' });
    } else if (type === 'join') {
      const stage = [{ participant: '1', name: 'Ada', role: 'host', track: 1 }, ...(this.you.track ? [{ ...this.you, name: 'Web' }] : [])];
      peer.say({ type: 'joined', id, relay: this.address, depth: 1, you: this.you, stage, listeners: 2, redundancy: true });
    } else if (type === 'leave') peer.close(0, 'left');
    else if (id !== undefined) peer.say({ type: 'ok', id });
  }
  datagram(peer, bytes) {
    const datagram = parse(bytes);
    peer.datagrams.push(datagram);
    if (datagram.kind !== 'question') return;
    const out = new Uint8Array(30);
    out.set([2, 1]);
    const view = new DataView(out.buffer);
    for (const at of [2, 10, 18]) view.setBigUint64(at, BigInt(datagram.asked));
    peer.send(out);
  }
}

function setUp(relays, options = {}) {
  const world = new World();
  const all = relays.map((address) => new Relay(world, address));
  const join = { room: 'stage', name: 'Web', role: 'listener', session: new Uint8Array(16).fill(7), relays, ...options };
  const session = new Session(join, world.env);
  session.listens = true;
  return { world, session, relays: all };
}

const media = (seq, more) => writeMedia(0, [writeFrame(frame(seq, more))]);

test('it joins, and tells what there is', () => {
  const { world, session, relays: [a] } = setUp(['a:1'], { token: 'T', profile: 'live' });
  world.run(200, session);
  assert.deepEqual(world.states(), ['connecting', 'joined']);
  const { id, session: key, ...join } = a.peer.messages[0];
  assert.deepEqual(join, { type: 'join', room: 'stage', name: 'Web', role: 'listener', token: 'T', profile: 'live', redundancy: true });
  assert.equal(key.length, 16);
  const [, joined] = world.events.find(([event]) => event === 'joined');
  assert.deepEqual([joined.relay, joined.depth, joined.transport], ['a:1', 1, 'webtransport']);
  assert.equal(world.events.find(([event]) => event === 'stage')[1][0].name, 'Ada');
});

test('the delay is the room\'s in audience, and the least in live', () => {
  const { world, session, relays: [a] } = setUp(['a:1']);
  a.you = { participant: '5', role: 'listener', profile: 'audience' };
  world.run(100, session);
  assert.equal(session.hearing.delay, 500);
  a.peer.say({ type: 'room', room: 'stage', phase: 'live', settings: { playout_delay_ms: 800 } });
  world.run(50, session);
  assert.equal(session.hearing.delay, 800);
  a.peer.say({ type: 'you', participant: '5', role: 'listener', invited_by: 'Ada' });
  world.run(50, session);
  assert.equal(session.hearing.delay, 0);
});

test('probes keep it alive, and missing frames are asked for', () => {
  const { world, session, relays: [a] } = setUp(['a:1']);
  world.run(100, session);
  for (const seq of [1, 2, 4]) a.peer.send(media(seq));
  world.run(200, session);
  const nacks = a.peer.datagrams.filter(({ kind }) => kind === 'nack');
  assert.deepEqual([nacks[0].first, nacks[0].count, nacks[0].track], [3, 1, 1]);
  world.run(9000, session);
  const questions = a.peer.datagrams.filter(({ kind }) => kind === 'question');
  assert.ok(questions.length >= 8 + 7 && questions.length <= 20, `${questions.length}`);
  assert.ok(Math.abs(session.link.clock.roundTrip - 2 * LATENCY) <= 10);
});

test('reports come every five seconds, with what has been since the last', () => {
  const { world, session, relays: [a] } = setUp(['a:1']);
  world.run(100, session);
  let seq = 0;
  world.run(10_500, session, (now) => now % 20 === 0 && a.peer.send(media(seq++)));
  const reports = a.peer.messages.filter(({ type }) => type === 'report');
  assert.equal(reports.length, 2);
  assert.ok(Math.abs(reports[1].received - 250) < 3 && reports[1].lost === 0);
  assert.deepEqual([reports[0].latency_us, reports[0].latency_max_us, reports[0].latency_error_us, reports[0].buffer_us], [90_000, 100_000, 2000, 60_000]);
  assert.ok(reports[0].rtt_us > 0);
});

test('after a loss it comes back with the same key, and with what it has heard', async () => {
  const { world, session, relays: [a] } = setUp(['a:1']);
  a.you = { participant: '5', role: 'listener', hand: 2, profile: 'audience' };
  world.run(100, session);
  for (const seq of [7, 8]) a.peer.send(media(seq));
  world.run(100, session);
  const waiting = session.request({ type: 'raise_hand' }).catch(({ code }) => code);
  const first = a.peer;
  first.close(undefined);
  world.run(1000, session);
  assert.equal(a.peers.length, 2);
  const join = a.peer.messages[0];
  assert.deepEqual(join.session, first.messages[0].session);
  assert.equal(join.returning, true);
  assert.deepEqual(join.heard, [{ track: 1, seq: 8 }]);
  assert.deepEqual(world.states(), ['connecting', 'joined', 'reconnecting lost', 'joined']);
  assert.ok(['unavailable', undefined].includes((await waiting)?.code ?? await waiting));
});

test('a relay that is silent is taken for lost after five seconds, and the next one is tried', () => {
  const { world, session, relays: [a, b] } = setUp(['a:1', 'b:1']);
  world.run(2000, session);
  a.isDead = true;
  world.run(5500, session);
  assert.equal(b.peers.length, 1);
  assert.equal(session.state, 'joined');
  assert.equal(world.events.filter(([event]) => event === 'joined').at(-1)[1].relay, 'b:1');
});

test('who was in the room comes back for as long as it takes, with a growing wait', () => {
  const { world, session, relays: [a] } = setUp(['a:1']);
  world.run(100, session);
  a.isDead = true;
  a.peer.close(undefined);
  world.run(120_000, session);
  assert.equal(session.state, 'reconnecting');
  a.isDead = false;
  world.run(10_000, session);
  assert.equal(session.state, 'joined');
});

test('a relay that is not there is told after three attempts', () => {
  const { world, session } = setUp(['a:1']);
  world.relays.get('a:1').isDead = true;
  world.run(3000, session);
  assert.deepEqual(world.states(), ['connecting', 'refused unreachable']);
});

test('refusals have their codes, and an end', () => {
  for (const code of ['locked', 'room_full', 'token_expired', 'barred', 'not_started', 'access_denied', 'a_new_one']) {
    const { world, session, relays: [a] } = setUp(['a:1']);
    a.refusal = { code };
    world.run(500, session);
    assert.deepEqual(world.states(), ['connecting', `refused ${code}`]);
    world.run(2000, session);
    assert.equal(a.peers.length, 1, 'it is not asked again');
  }
});

test('a full relay sends on, and is followed', () => {
  const { world, session, relays: [a] } = setUp(['a:1']);
  const c = new Relay(world, 'c:1');
  a.refusal = { code: 'overloaded', to: 'c:1' };
  world.run(1000, session);
  assert.equal(session.state, 'joined');
  assert.equal(c.peers.length, 1);
});

test('a close by a moderator is final, with its words', () => {
  for (const [action, code, closeCode] of [['kicked', 'kicked', 0x10], ['banned', 'banned', 0x10], [null, 'removed', 0x10], [null, 'room_over', 0x11], [null, 'replaced', 0x12], [null, 'token_expired', 0x13]]) {
    const { world, session, relays: [a] } = setUp(['a:1', 'b:1']);
    world.run(100, session);
    if (action) a.peer.say({ type: 'moderated', action, by: 'Ada', reason: 'enough', entry: 4 });
    a.peer.close(closeCode, 'Enough.');
    world.run(20_000, session);
    assert.deepEqual(world.states(), ['connecting', 'joined', `ended ${code}`]);
    const [, { why }] = world.events.filter(([event]) => event === 'state').at(-1);
    assert.deepEqual([why.closeCode, why.message], [closeCode, 'Enough.']);
    if (action) assert.deepEqual([why.moderated.entry, why.moderated.reason], [4, 'enough']);
  }
});

test('a draining relay is left without a gap', () => {
  const { world, session, relays: [a, b] } = setUp(['a:1', 'b:1']);
  world.run(200, session);
  const out = [];
  let seq = 65_500;
  const talk = (now) => {
    out.push(...session.hearing.poll(now));
    if (now % 20) return;
    // The new relay is behind by three frames when it is joined.
    if (a.peer.isOpen) a.peer.send(media(seq));
    if (b.peer?.isOpen && b.peer.messages.length) b.peer.send(media(seq - 3));
    seq++;
  };
  world.run(1000, session, talk);
  a.peer.say({ type: 'moved', to: 'b:1', within_ms: 5000 });
  world.run(3000, session, talk);
  assert.deepEqual(world.states(), ['connecting', 'joined', 'moving', 'joined']);
  const join = b.peer.messages[0];
  assert.equal(join.returning, true);
  assert.equal(join.heard.length, 1);
  assert.equal(a.peer.isOpen, false);
  assert.equal(a.peer.closedWith, 0);
  assert.ok(!a.peer.messages.some(({ type }) => type === 'leave'));
  assert.ok(out.every(({ place }, n) => n === 0 || place === out[n - 1].place + 1), 'no frame twice, none left out');
  assert.ok(out.length >= 3.9 * 50);
  assert.equal(session.hearing.counts.lost, 0);
});

test('while moving, the new relay\'s word counts, and a close of the old one is nothing', () => {
  const { world, session, relays: [a] } = setUp(['a:1']);
  const b = new Relay(world, 'b:1');
  world.run(200, session);
  a.peer.say({ type: 'moved', to: 'b:1', within_ms: 5000 });
  // Somebody is in mid-talk, so that the old relay is not left at once.
  a.peer.send(media(1));
  world.run(350, session);
  assert.equal(b.peers.length, 1);
  world.events.length = 0;
  a.peer.say({ type: 'stage', stage: [] });
  a.peer.close(0x12, 'joined again elsewhere');
  world.run(3000, session);
  assert.deepEqual(world.events.filter(([event]) => event === 'stage'), []);
  assert.deepEqual(world.states(), ['joined']);
});

test('a relay that does not take us is passed over, and the old one serves meanwhile', () => {
  const { world, session, relays: [a, b] } = setUp(['a:1', 'b:1']);
  world.run(200, session);
  a.peer.say({ type: 'moved', to: 'x:1', within_ms: 5000 });
  world.run(2000, session);
  assert.equal(b.peers.length, 1);
  assert.equal(session.link.relay, 'b:1');
  assert.equal(session.state, 'joined');
});

test('a speaker is heard on both relays, and once more at the new one', () => {
  const { world, session, relays: [a] } = setUp(['a:1'], { role: 'speaker' });
  const b = new Relay(world, 'b:1');
  a.you = b.you = { participant: '5', role: 'speaker', track: 9 };
  world.run(1200, session);
  let seq = 65_530;
  const spokenAt = new Map();
  const speak = (now) => {
    if (now % 20) return;
    spokenAt.set(seq, now);
    session.speak({ seq, level: 30, voiced: true, end: false, captured: 1.7e15 + now * 1000, error: 100, opus: Uint8Array.of(252, 1, 2) });
    seq = seq + 1 & 0xffff;
  };
  const heard = (peer) => [...new Set(peer.datagrams.filter(({ kind }) => kind === 'media').flatMap(({ frames }) => frames.map((f) => f.frame.seq)))];
  world.run(400, session, speak);
  assert.equal(heard(a.peer).length, 19);
  const [first] = a.peer.datagrams.find(({ kind }) => kind === 'media').frames;
  assert.equal(first.frame.onset, 0);
  assert.ok(first.frame.captured > 1.6e15 && first.frame.error >= 100);
  a.peer.say({ type: 'moved', to: 'b:1', within_ms: 5000 });
  world.run(2000, session, speak);
  const all = [...heard(a.peer), ...heard(b.peer)];
  assert.equal(new Set(all).size, 119, 'each frame has reached one of them');
  assert.ok(heard(a.peer).some((seq) => heard(b.peer).includes(seq)), 'some both');
  const first200 = heard(b.peer).filter((seq) => spokenAt.get(seq) < session.attemptAt - 50);
  assert.ok(first200.length >= 5, 'those before the attempt are said again');

  b.peer.send(Uint8Array.of(1, 0, 9, (seq - 3 & 0xffff) >> 8, seq - 3 & 255, 2));
  world.run(100, session);
  const answer = b.peer.datagrams.at(-1).kind === 'media' ? b.peer.datagrams.at(-1) : b.peer.datagrams.findLast(({ kind }) => kind === 'media');
  assert.deepEqual(answer.frames.map(({ source, frame }) => [source, frame.seq]), [['repair', seq - 3], ['repair', seq - 2]]);
});

test('who is silenced, or not on the stage, sends nothing', () => {
  const { world, session, relays: [a] } = setUp(['a:1']);
  world.run(100, session);
  const speak = () => session.speak({ seq: 1, level: 30, voiced: true, end: false, captured: 0, error: 0, opus: Uint8Array.of(1) });
  speak();
  a.peer.say({ type: 'you', participant: '5', role: 'speaker', track: 4, silenced: true });
  world.run(50, session);
  speak();
  world.run(50, session);
  assert.ok(!a.peer.datagrams.some(({ kind }) => kind === 'media'));
  a.peer.say({ type: 'you', participant: '5', role: 'speaker', track: 4 });
  world.run(50, session);
  speak();
  world.run(50, session);
  assert.equal(a.peer.datagrams.filter(({ kind }) => kind === 'media').length, 1);
});

test('leaving is said, and is the end', () => {
  const { world, session, relays: [a] } = setUp(['a:1']);
  world.run(100, session);
  session.leave();
  world.run(100, session);
  assert.ok(a.peer.messages.some(({ type }) => type === 'leave'));
  assert.deepEqual(world.states(), ['connecting', 'joined', 'ended left']);
});

test('bytes that are no message end the connection with 0x01', () => {
  const { world, session, relays: [a] } = setUp(['a:1']);
  world.run(100, session);
  const { peer } = a;
  peer.say({ type: 'listeners', count: 3 });
  peer.say({});
  world.run(100, session);
  assert.equal(peer.closedWith, 1);
  assert.deepEqual(world.states(), ['connecting', 'joined', 'ended protocol']);
});
