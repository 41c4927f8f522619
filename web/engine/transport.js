// @ts-check
// Connections to a relay: WebTransport, or WebSocket where UDP does not get through.

/** What WebTransport is given before WebSocket is tried beside it. */
const HEAD_START_MS = 500;
const READY_TIMEOUT_MS = 10_000;
/** Bytes that may wait in a WebSocket before datagrams are dropped: half a second of a speaker. */
const BUFFERED_MAX = 16_384;
/** Datagrams that wait to be sent, or to be read while this thread is busy. */
const OUTGOING_MAX = 16;
const INCOMING_MAX = 256;

/**
 * @typedef {object} Relay
 * @property {string} url of WebTransport, "https://host:port/path"
 * @property {string[]} certificates SHA-256 in hex; none: an ordinary certificate
 * @property {string} [websocket] URL
 * @property {'webtransport'|'websocket'} [force]
 *
 * @typedef {object} Handlers
 * @property {(transport: Transport) => void} open
 * @property {(bytes: Uint8Array) => void} control
 * @property {(bytes: Uint8Array) => void} datagram
 * @property {(closeCode: number|undefined, reason: string) => void} closed once; also if it never was open
 *
 * @typedef {object} Transport
 * @property {'webtransport'|'websocket'} kind
 * @property {(bytes: Uint8Array<ArrayBuffer>) => void} control
 * @property {(bytes: Uint8Array<ArrayBuffer>) => void} datagram may drop it
 * @property {(closeCode: number, reason: string) => void} close
 */

/** @param {ReadableStream<Uint8Array>} stream @param {(bytes: Uint8Array) => void} take */
async function readAll(stream, take) {
  const reader = stream.getReader();
  for (let part; !(part = await reader.read()).done;) take(part.value);
}

/** @param {Relay} relay @param {Handlers} to @returns {{ready: Promise<Transport>, stop: () => void}} */
function dialWebTransport({ url, certificates }, to) {
  const serverCertificateHashes = certificates.map((hex) => ({
    algorithm: 'sha-256',
    value: Uint8Array.from(hex.match(/../g) ?? [], (byte) => parseInt(byte, 16)),
  }));
  const session = new WebTransport(url, certificates.length ? { serverCertificateHashes } : {});
  session.closed.then(
    (info) => to.closed(info?.closeCode ?? 0, info?.reason ?? ''),
    (error) => to.closed(undefined, String(error?.message ?? error)),
  );
  const open = async () => {
    await session.ready;
    // The names of these have changed; browsers have one or the other.
    const datagrams = /** @type {any} */ (session.datagrams);
    datagrams.incomingHighWaterMark = datagrams.incomingMaxBufferedDatagrams = INCOMING_MAX;
    datagrams.outgoingHighWaterMark = datagrams.outgoingMaxBufferedDatagrams = OUTGOING_MAX;
    const out = (datagrams.writable ?? datagrams.createWritable()).getWriter();
    const stream = await session.createBidirectionalStream();
    const control = stream.writable.getWriter();
    let waiting = 0;
    // A relay that ends the stream ends the stay; its reason, if there is one, comes with `closed`.
    const ended = () => setTimeout(() => to.closed(0, 'the control stream has ended'), 2000);
    readAll(stream.readable, to.control).then(ended, ended);
    readAll(datagrams.readable, to.datagram).catch(() => {});
    return /** @type {Transport} */ ({
      kind: 'webtransport',
      control: (bytes) => void control.write(bytes).catch(() => {}),
      datagram: (bytes) => {
        if (waiting >= OUTGOING_MAX) return;
        waiting++;
        out.write(bytes).catch(() => {}).then(() => waiting--);
      },
      close: (closeCode, reason) => session.close({ closeCode, reason }),
    });
  };
  return { ready: open(), stop: () => session.close() };
}

/** @param {string} url @param {Handlers} to @returns {{ready: Promise<Transport>, stop: () => void}} */
function dialWebSocket(url, to) {
  const socket = new WebSocket(url, 'tribune.1');
  socket.binaryType = 'arraybuffer';
  /** @param {number} kind @param {Uint8Array} bytes */
  const send = (kind, bytes) => {
    if (socket.readyState !== WebSocket.OPEN) return;
    const message = new Uint8Array(bytes.length + 1);
    message[0] = kind;
    message.set(bytes, 1);
    socket.send(message);
  };
  const ready = new Promise((resolve, reject) => {
    socket.onopen = () => resolve(/** @type {Transport} */ ({
      kind: 'websocket',
      control: (bytes) => send(1, bytes),
      datagram: (bytes) => socket.bufferedAmount <= BUFFERED_MAX && send(0, bytes),
      close: (closeCode, reason) => socket.close(4000 + closeCode, reason.slice(0, 100)),
    }));
    socket.onmessage = ({ data }) => {
      if (!(data instanceof ArrayBuffer) || data.byteLength < 1) return;
      const bytes = new Uint8Array(data);
      (bytes[0] === 0 ? to.datagram : to.control)(bytes.subarray(1));
    };
    socket.onclose = ({ code, reason }) => {
      const ours = code >= 4000 && code < 4256;
      reject(new Error('the WebSocket was refused'));
      to.closed(ours ? code - 4000 : undefined, reason || 'the WebSocket was closed');
    };
  });
  return { ready, stop: () => socket.close() };
}

/** @param {() => void} stop of a connection that may not be open yet, or closed */
function quietly(stop) {
  try {
    stop();
  } catch { /* There is nothing to close. */ }
}

/**
 * Dials a relay: by WebTransport, and by WebSocket too where that fails or takes long. The first that is ready
 * counts, the other is closed.
 * @param {Relay} relay @param {Handlers} handlers
 * @returns {() => void} gives it up
 */
export function dial(relay, handlers) {
  /** @type {Transport|null} */
  let chosen = null;
  let isOver = false;
  let trying = 0;
  /** @type {(() => void)[]} */
  const stops = [];
  let why = 'no way to the relay';

  /** @param {number} [closeCode] @param {string} [reason] */
  const over = (closeCode, reason = why) => {
    if (isOver) return;
    isOver = true;
    clearTimeout(limit);
    if (!chosen) for (const stop of stops) quietly(stop);
    handlers.closed(closeCode, reason);
  };
  /** @param {(to: Handlers) => {ready: Promise<Transport>, stop: () => void}} begin */
  const attempt = async (begin) => {
    trying++;
    /** @type {Transport|null} */
    let own = null;
    /** @type {[number|undefined, string][]} */
    const closed = [];
    try {
      const { ready, stop } = begin({
        open: () => {},
        control: (bytes) => void (!isOver && own && own === chosen && handlers.control(bytes)),
        datagram: (bytes) => void (!isOver && own && own === chosen && handlers.datagram(bytes)),
        closed: (code, reason) => {
          closed.push([code, reason]);
          if (own && own === chosen) over(code, reason);
        },
      });
      stops.push(stop);
      own = await ready;
      if (isOver || chosen) own.close(0, '');
      else {
        chosen = own;
        tried = true;
        clearTimeout(limit);
        handlers.open(own);
        if (closed.length) over(...closed[0]);
      }
    } catch (error) {
      why = closed[0]?.[1] || String(error);
      trying--;
      if (!chosen && tried) {
        if (trying === 0) over(closed[0]?.[0]);
      } else if (!chosen) second();
    }
  };
  const { websocket = '', force } = relay;
  let tried = !websocket || force === 'webtransport';
  const second = () => {
    if (tried || isOver) return;
    tried = true;
    attempt((to) => dialWebSocket(websocket, to));
  };
  setTimeout(second, HEAD_START_MS);
  const limit = setTimeout(over, READY_TIMEOUT_MS, undefined, 'no answer in time');
  if (force === 'websocket' || typeof WebTransport === 'undefined') {
    if (websocket) second();
    else setTimeout(over, 0, undefined, 'this browser has no WebTransport');
  } else attempt((to) => dialWebTransport(relay, to));
  return () => {
    if (!chosen) over(undefined, 'given up');
  };
}
