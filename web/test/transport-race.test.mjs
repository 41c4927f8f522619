import assert from 'node:assert/strict';
import test, { afterEach, beforeEach, mock } from 'node:test';
import { dial } from '../engine/transport.js';

/** What the browser gives, with what happens in its stead. */
let web;
let sockets;

class FakeWebTransport {
  constructor(url, options) {
    Object.assign(this, { url, options, closedWith: null });
    this.closed = new Promise((resolve, reject) => Object.assign(this, { end: resolve, lose: reject }));
    this.ready = new Promise((resolve, reject) => Object.assign(this, { open: resolve, refuse: reject }));
    this.ready.catch(() => {});
    this.written = { control: [], datagrams: [] };
    const sink = (into) => new WritableStream({ write: (bytes) => void into.push(bytes) });
    const source = () => {
      let give;
      const stream = new ReadableStream({ start: (controller) => (give = controller) });
      return { stream, give };
    };
    this.control = source();
    this.incoming = source();
    this.datagrams = { readable: this.incoming.stream, [FakeWebTransport.old ? 'writable' : 'createWritable']: FakeWebTransport.old ? sink(this.written.datagrams) : () => sink(this.written.datagrams) };
    web.push(this);
  }
  async createBidirectionalStream() {
    return { readable: this.control.stream, writable: new WritableStream({ write: (bytes) => void this.written.control.push(bytes) }) };
  }
  close(info) {
    this.closedWith = info ?? {};
  }
}

class FakeWebSocket {
  static OPEN = 1;
  readyState = 0;
  bufferedAmount = 0;
  sent = [];
  constructor(url, protocol) {
    Object.assign(this, { url, protocol });
    sockets.push(this);
  }
  open() {
    this.readyState = 1;
    this.onopen();
  }
  send(bytes) {
    this.sent.push([...bytes]);
  }
  close(code, reason) {
    this.closedWith = [code, reason];
  }
}

const settle = async () => {
  for (let i = 0; i < 20; i++) await Promise.resolve();
};

beforeEach(() => {
  [web, sockets] = [[], []];
  FakeWebTransport.old = true;
  globalThis.WebTransport = FakeWebTransport;
  globalThis.WebSocket = FakeWebSocket;
  mock.timers.enable({ apis: ['setTimeout'] });
});
afterEach(() => mock.timers.reset());

const RELAY = { url: 'https://a:1/tribune', certificates: [], websocket: 'wss://a/tribune' };

function begin(relay = RELAY) {
  const seen = { open: [], control: [], datagram: [], closed: [] };
  const stop = dial(relay, {
    open: (transport) => seen.open.push(transport), control: (bytes) => seen.control.push([...bytes]),
    datagram: (bytes) => seen.datagram.push([...bytes]), closed: (...all) => seen.closed.push(all),
  });
  return { seen, stop };
}

test('WebTransport that is ready in time is alone', async () => {
  for (const old of [true, false]) {
    FakeWebTransport.old = old;
    const { seen } = begin({ ...RELAY, certificates: ['00ff'] });
    const wt = web.at(-1);
    assert.deepEqual(wt.options.serverCertificateHashes, [{ algorithm: 'sha-256', value: Uint8Array.of(0, 255) }]);
    wt.open();
    await settle();
    mock.timers.tick(2000);
    assert.equal(sockets.length, 0);
    assert.equal(seen.open[0].kind, 'webtransport');
    assert.ok(wt.datagrams.incomingMaxBufferedDatagrams > 1 && wt.datagrams.incomingHighWaterMark > 1);
    seen.open[0].control(Uint8Array.of(1));
    seen.open[0].datagram(Uint8Array.of(2));
    wt.control.give.enqueue(Uint8Array.of(3));
    wt.incoming.give.enqueue(Uint8Array.of(4));
    await settle();
    assert.deepEqual([wt.written.control, wt.written.datagrams], [[Uint8Array.of(1)], [Uint8Array.of(2)]]);
    assert.deepEqual([seen.control, seen.datagram], [[[3]], [[4]]]);
    wt.end({ closeCode: 0x10, reason: 'Enough.' });
    await settle();
    assert.deepEqual(seen.closed, [[0x10, 'Enough.']]);
  }
});

test('an ordinary certificate is left to the browser', () => {
  begin();
  assert.deepEqual(web[0].options, {});
});

test('WebSocket begins after 500 ms, and the later one of both is closed', async () => {
  const { seen } = begin();
  mock.timers.tick(499);
  assert.equal(sockets.length, 0);
  mock.timers.tick(1);
  assert.deepEqual([sockets[0].url, sockets[0].protocol], ['wss://a/tribune', 'tribune.1']);
  sockets[0].open();
  await settle();
  assert.equal(seen.open[0].kind, 'websocket');
  web[0].open();
  await settle();
  assert.equal(seen.open.length, 1);
  assert.ok(web[0].closedWith);
  web[0].lose(new Error('gone'));
  await settle();
  assert.deepEqual(seen.closed, [], 'the end of the other is nothing');
});

test('WebSocket begins at once where WebTransport fails', async () => {
  const { seen } = begin();
  web[0].refuse(new Error('Opening handshake failed.'));
  await settle();
  assert.equal(sockets.length, 1);
  sockets[0].onclose({ code: 1006, reason: '' });
  await settle();
  assert.equal(seen.closed.length, 1);
  assert.equal(seen.closed[0][0], undefined);
});

test('without WebSocket, a refusal is the end of the attempt', async () => {
  const { seen } = begin({ ...RELAY, websocket: undefined });
  web[0].refuse(new Error('Opening handshake failed.'));
  await settle();
  assert.deepEqual(seen.closed, [[undefined, 'Error: Opening handshake failed.']]);
});

test('an attempt that hangs is given up', async () => {
  const { seen } = begin({ ...RELAY, websocket: undefined });
  mock.timers.tick(10_000);
  assert.equal(seen.closed.length, 1);
  web[0].open();
  await settle();
  assert.equal(seen.open.length, 0);
  assert.ok(web[0].closedWith);
});

test('one can be forced, and a browser without WebTransport goes by WebSocket', async () => {
  begin({ ...RELAY, force: 'websocket' });
  assert.deepEqual([web.length, sockets.length], [0, 1]);
  begin({ ...RELAY, force: 'webtransport' });
  mock.timers.tick(5000);
  assert.deepEqual([web.length, sockets.length], [1, 1]);
  delete globalThis.WebTransport;
  begin();
  assert.equal(sockets.length, 2);
  const { seen } = begin({ ...RELAY, websocket: undefined });
  mock.timers.tick(1);
  assert.equal(seen.closed.length, 1);
});

test('a WebSocket has a byte in front, our close codes, and drops media that would pile up', async () => {
  const { seen } = begin({ ...RELAY, force: 'websocket' });
  const [socket] = sockets;
  socket.open();
  await settle();
  const [transport] = seen.open;
  transport.control(Uint8Array.of(7));
  transport.datagram(Uint8Array.of(8));
  socket.bufferedAmount = 1e6;
  transport.datagram(Uint8Array.of(9));
  transport.control(Uint8Array.of(10));
  assert.deepEqual(socket.sent, [[1, 7], [0, 8], [1, 10]]);
  socket.onmessage({ data: Uint8Array.of(0, 1, 2).buffer });
  socket.onmessage({ data: Uint8Array.of(1, 3).buffer });
  socket.onmessage({ data: 'text' });
  socket.onmessage({ data: new ArrayBuffer(0) });
  assert.deepEqual([seen.datagram, seen.control], [[[1, 2]], [[3]]]);
  transport.close(0x12, 'bye');
  assert.deepEqual(socket.closedWith, [4018, 'bye']);
  socket.onclose({ code: 4016, reason: 'Enough.' });
  assert.deepEqual(seen.closed, [[0x10, 'Enough.']]);
});

test('datagrams that cannot be sent are dropped, not kept', async () => {
  const { seen } = begin();
  const [wt] = web;
  let sent = 0;
  wt.datagrams.writable = { getWriter: () => ({ write: () => ++sent && new Promise(() => {}) }) };
  wt.open();
  await settle();
  for (let i = 0; i < 1000; i++) seen.open[0].datagram(Uint8Array.of(i & 255));
  await settle();
  assert.equal(sent, 16);
});
