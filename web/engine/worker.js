// @ts-check
// The worker between page, relay and audio threads: a page that is busy or hidden delays no frame.
import { decode } from './cbor.js';
import { Refusal, fromWire } from './control.js';
import { Decoding } from './decode.js';
import { Encoding } from './encode.js';
import { Link } from './link.js';
import { Session } from './session.js';
import { dial } from './transport.js';

/** While somebody speaks, and while nobody does. */
const TICK_MS = 10;
const IDLE_TICK_MS = 40;
const LEVELS_MS = 100;

/** @typedef {{relay: import('./transport.js').Relay, next: string[], join: any}} Config */

/** @type {Config} */
let config;
/** @type {Session|null} */
let session = null;
/** @type {MessagePort|null} */
let ear = null;
/** @type {MessagePort|null} */
let mouth = null;
let wantsFrames = false;
let levelsAt = 0;
let outputMs = 0;
/** @type {Map<number, Decoding>} */
const decoders = new Map();
/** Meters: of what is heard where there is an ear, else of what comes. @type {Map<number, {level: number, speaking: boolean, at: number}>} */
const levels = new Map();
/** Counts of the ear. @type {{counts: Record<string, number>, bufferMs: number, targetMs: number}} */
let heard = { counts: {}, bufferMs: 0, targetMs: 0 };
/** @type {number[]} */
let latencies = [];
let latencyMs = NaN;
let latencyError = 0;
let decodeErrors = 0;

const env = {
  now: () => performance.now(),
  origin: performance.timeOrigin,
  random: Math.random,
  /** @param {string} event @param {any} detail */
  emit(event, detail) {
    if (event === 'delay') ear?.postMessage({ delay: detail });
    else if (event === 'protect') encoding.protect(detail.loss_percent ?? 0);
    else {
      if (event === 'track_gone') forget(detail);
      postMessage({ event, detail });
    }
  },
  /** @param {string} address @param {import('./transport.js').Handlers} handlers */
  dial(address, handlers) {
    const url = new URL(config.relay.url);
    const isFirst = address === url.host;
    url.host = address;
    if (session?.state === 'reconnecting') refresh();
    const datagram = (/** @type {Uint8Array} */ bytes) => {
      handlers.datagram(bytes);
      pump();
    };
    // The WebSocket leads to the relay of the page alone: others are found by QUIC.
    const websocket = isFirst ? config.relay.websocket : undefined;
    return dial({ ...config.relay, url: url.href, websocket }, { ...handlers, datagram });
  },
};

const encoding = new Encoding(
  (spoken) => session?.speak(spoken),
  (kind) => postMessage({ event: 'notice', detail: { kind } }),
);

/** A relay that has been started anew may have another certificate. */
function refresh() {
  fetch('/web/relay.json').then((answer) => answer.json()).then(
    ({ certificates }) => (config.relay.certificates = certificates ?? config.relay.certificates),
    () => {},
  );
}

/** @param {number} track */
function forget(track) {
  ear?.postMessage({ forget: track });
  decodeErrors += decoders.get(track)?.errors ?? 0;
  decoders.get(track)?.close();
  decoders.delete(track);
  levels.delete(track);
}

/** @param {import('./receive.js').Placed} frame */
function play(frame) {
  const { track, level, voiced } = frame;
  if (!ear) levels.set(track, { level, speaking: voiced, at: performance.now() });
  if (!ear && !wantsFrames) return;
  let decoding = decoders.get(track);
  if (!decoding) decoders.set(track, (decoding = new Decoding(sound)));
  decoding.push(performance.now(), frame);
}

/** @param {import('./receive.js').Placed} frame @param {Float32Array|null} pcm */
function sound({ track, place, seq, end, level, voiced, captured, error, at }, pcm) {
  if (wantsFrames && pcm) postMessage({ event: 'frame', detail: { track, seq, pcm: ear ? pcm.slice() : pcm } });
  const held = performance.now() - at;
  ear?.postMessage({ track, sound: { place, pcm, end, level, voiced, captured, error, at, held } }, pcm ? [pcm.buffer] : []);
}

/** @param {MessageEvent} event of the ear */
function handleEar({ data: { turns = [], counts, bufferMs, targetMs, played } }) {
  const now = performance.now();
  for (const { track, place, inMs, level, voiced } of turns) {
    session?.hearing.handleTurn(track, place, now + inMs);
    levels.set(track, { level, speaking: voiced, at: now });
  }
  if (counts) heard = { counts, bufferMs, targetMs };
  const clock = session?.link?.clock.best(session.link.localUs);
  if (!played || !clock || !session?.link) return;
  latencyMs = (session.link.localUs + clock.offset - played.captured) / 1000 + played.inMs + outputMs;
  latencyError = Math.max(latencyError, ((played.error ?? 0) + clock.error) / 1000);
  latencies.push(latencyMs);
}

function playout() {
  const { concealed = 0, late = 0 } = heard.counts;
  const report = { buffer: heard.bufferMs, concealed, late, latency: latencies, latencyError };
  latencies = [];
  latencyError = 0;
  return report;
}

/** Lets frames go whose turn has come. */
function pump() {
  for (const frame of session?.hearing.poll(performance.now()) ?? []) play(frame);
}

function tick() {
  const now = performance.now();
  if (!session || session.isOver) return;
  const isBusy = mouth || [...session.hearing.tracks.values()].some((receiver) => receiver.isTalking(now) || receiver.held.size);
  setTimeout(tick, isBusy ? TICK_MS : IDLE_TICK_MS);
  session.tick(playout);
  pump();
  for (const late of session.hearing.takeLate()) ear?.postMessage({ track: late.track, late });
  for (const decoding of decoders.values()) decoding.tick(now);
  if (now - levelsAt < LEVELS_MS) return;
  levelsAt = now;
  const detail = new Map();
  for (const [track, { level, speaking, at }] of levels) {
    detail.set(track, now - at < 300 ? { level, speaking } : { level: 127, speaking: false });
  }
  const own = session.speaking;
  if (own && mouth) detail.set(own.track, { level: encoding.level, speaking: encoding.talkspurts.talking });
  postMessage({ event: 'levels', detail, mic: mouth ? encoding.level : 127 });
}

/** @returns {Record<string, number|string>} */
function stats() {
  const counts = session?.hearing.counts ?? {};
  const errors = [...decoders.values()].reduce((sum, { errors }) => sum + errors, decodeErrors);
  const { played = 0, concealed = 0, late = 0, underruns = 0, stretched = 0 } = heard.counts;
  return {
    frames: counts.received, lost: counts.lost, repaired: counts.repaired, answered: counts.answered,
    duplicates: counts.duplicate, late: counts.late + late, played, concealed, underruns, stretched,
    decodeErrors: errors, dropped: session?.dropped ?? 0, sent: session?.speaking?.sent ?? 0,
    latencyMs, bufferMs: heard.bufferMs, targetMs: heard.targetMs, rttMs: session?.link?.clock.roundTrip ?? NaN,
    transport: session?.link?.transport?.kind ?? '', relay: session?.link?.relay ?? '',
  };
}

/** One request on a connection of its own, by somebody who does not come in. @param {any} first @returns {Promise<any>} */
function errand(first) {
  return new Promise((resolve, reject) => {
    const link = new Link(env, new URL(config.relay.url).host, {
      first: () => first,
      joined: (link, answer) => {
        link.leave();
        resolve(answer);
      },
      message: () => {},
      datagram: () => {},
      failed: (_, { code, message, closeCode }) => reject(new Refusal(code ?? 'unreachable', message, closeCode)),
    });
    const timer = setInterval(() => {
      if (link.state === 'gone') clearInterval(timer);
      else link.tick();
    }, 100);
  });
}

/** @param {any} act @returns {Promise<any>} */
async function ask(act) {
  const { room, session: key, name, role, token } = config.join;
  const answer = session && !session.isOver
    ? await session.request({ type: 'govern', act })
    : await errand({ type: 'errand', room, session: key, name, role, token, act });
  if (answer.type !== 'log') return answer;
  return { ...answer, entries: answer.entries.map((/** @type {Uint8Array} */ entry) => fromWire(decode(entry))) };
}

/** @type {Record<string, (args: any) => any>} */
const calls = {
  /** @param {Config} all */
  join(all) {
    config = all;
    const { host } = new URL(all.relay.url);
    session = new Session({ ...all.join, relays: [host, ...all.next.filter((next) => next !== host)] }, env);
    tick();
    // A network that is there again is not waited for.
    addEventListener('online', () => session && session.retryAt < Infinity && (session.retryAt = performance.now()));
  },
  /** @param {Config & {first: any}} all */
  errand(all) {
    config = all;
    return errand(all.first);
  },
  ask,
  /** @param {any} message */
  send: (message) => session?.request(message),
  /** @param {{port: MessagePort}} to */
  ear({ port }) {
    ear = port;
    port.onmessage = handleEar;
    if (!session) return;
    session.listens = true;
    port.postMessage({ delay: session.hearing.delay });
  },
  /** @param {{port: MessagePort|null}} to */
  mouth({ port }) {
    mouth?.close();
    mouth = port;
    encoding.open = port !== null;
    if (!port) return encoding.stop();
    port.onmessage = ({ data }) => encoding.push(performance.now(), (env.origin + env.now()) * 1000, data.pcm);
  },
  /** @param {{muted: boolean, tell: boolean}} how `tell`: everybody sees it */
  mute({ muted, tell }) {
    encoding.open = !muted;
    if (tell) session?.mute(muted);
  },
  frames: () => void (wantsFrames = true),
  output: ({ ms }) => void (outputMs = ms),
  stats,
  leave: () => session?.leave(),
};

onmessage = async ({ data: { call, n, args } }) => {
  try {
    postMessage({ n, answer: await calls[call](args) });
  } catch (error) {
    const { code = 'failed', message, closeCode } = /** @type {Refusal} */ (error);
    postMessage({ n, error: { code, message, closeCode } });
  }
};
