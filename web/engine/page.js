// @ts-check
// What a page has to do itself for its room: find the relay, start the worker, open sound and microphone.

/**
 * @typedef {{code: string, closeCode?: number, message: string, moderated?: object}} Why
 * @typedef {{worker: Worker, call: (name: string, args?: any, transfer?: Transferable[]) => Promise<any>}} Engine
 * @typedef {{stream: MediaStream, node: AudioWorkletNode, context: AudioContext}} Mic
 */

/**
 * A refusal, or a failure. `code` is an error code of the protocol ("room_full", "token_expired", …) or one of
 * "unreachable" (no relay answers), "removed", "kicked", "banned", "room_over", "replaced", "left",
 * "mic_denied", "mic_none", "mic_failed", "not_on_stage", "no_audio".
 */
export class RoomError extends Error {
  /** @param {Why} why */
  constructor({ code, closeCode, message }) {
    super(message || code);
    this.name = 'RoomError';
    this.code = code;
    this.closeCode = closeCode;
  }
}

/** @param {string} [relay] @param {string} [force] @returns {Promise<{relay: any, next: string[]}>} */
export async function findRelay(relay, force) {
  if (relay && new URL(relay).origin !== location.origin) {
    const said = await fetch('/web/relay.json').then((answer) => answer.json()).catch(() => ({}));
    return { relay: { url: relay, certificates: said.certificates ?? [], force }, next: said.next ?? [] };
  }
  const answer = await fetch('/web/relay.json').catch(() => null);
  if (!answer?.ok) throw new RoomError({ code: 'unreachable', message: 'the page\'s own relay does not answer' });
  const { port, path, certificates, websocket, next } = await answer.json();
  const url = `https://${location.hostname}:${port}${path}`;
  const socket = websocket && `${location.origin.replace('http', 'ws')}${websocket}`;
  return { relay: { url, certificates: certificates ?? [], websocket: socket, force }, next: next ?? [] };
}

/** @returns {Engine} */
export function startEngine() {
  const worker = new Worker(new URL('./worker.js', import.meta.url), { type: 'module' });
  /** @type {Map<number, {resolve: (answer: any) => void, reject: (error: RoomError) => void}>} */
  const waiting = new Map();
  let last = 0;
  worker.addEventListener('message', ({ data: { n, answer, error } }) => {
    const call = waiting.get(n);
    if (!call) return;
    waiting.delete(n);
    if (error) call.reject(new RoomError(error));
    else call.resolve(answer);
  });
  return {
    worker,
    call: (call, args, transfer = []) => new Promise((resolve, reject) => {
      waiting.set(++last, { resolve, reject });
      worker.postMessage({ call, n: last, args }, transfer);
    }),
  };
}

/** @returns {AudioContext|null} */
export function openAudio() {
  try {
    const audio = new AudioContext({ latencyHint: 'interactive', sampleRate: 48_000 });
    audio.resume().catch(() => {});
    return audio;
  } catch {
    return null;
  }
}

/** @param {MediaStream} stream @param {MessagePort} port to the worker @param {AudioContext} shared @returns {Promise<Mic>} */
export async function connectMic(stream, port, shared) {
  let context = shared;
  let source;
  try {
    source = context.createMediaStreamSource(stream);
  } catch {
    // Firefox connects a microphone only at its own rate.
    context = new AudioContext();
    source = context.createMediaStreamSource(stream);
  }
  await context.audioWorklet.addModule(new URL('../audio/mouth.js', import.meta.url));
  const node = new AudioWorkletNode(context, 'tribune-mouth', {
    numberOfOutputs: 1, channelCount: 1, channelCountMode: 'explicit', channelInterpretation: 'speakers',
  });
  node.port.postMessage({ port }, [port]);
  source.connect(node);
  // A node that leads nowhere is not run everywhere; this one gives silence.
  node.connect(context.destination);
  context.resume().catch(() => {});
  return { stream, node, context };
}

/** @param {Mic} mic @param {AudioContext|null} [shared] */
export function closeMic({ stream, node, context }, shared) {
  stream.getTracks().forEach((track) => track.stop());
  node.port.postMessage({ over: true });
  node.disconnect();
  if (shared && context !== shared) context.close();
}

/** @param {string} [deviceId] @returns {Promise<MediaStream>} */
export async function openMic(deviceId) {
  const audio = {
    echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1,
    ...(deviceId ? { deviceId: { exact: deviceId } } : {}),
  };
  try {
    return await navigator.mediaDevices.getUserMedia({ audio });
  } catch (error) {
    const { name, message } = /** @type {Error} */ (error);
    const codes = { NotAllowedError: 'mic_denied', SecurityError: 'mic_denied', NotFoundError: 'mic_none', OverconstrainedError: 'mic_none' };
    throw new RoomError({ code: codes[/** @type {keyof typeof codes} */ (name)] ?? 'mic_failed', message });
  }
}
