// @ts-check
// Tribune's library for pages: enter a room, hear it, speak in it. /example shows it in 30 lines.
//
//   const room = await connect({ room: 'town-hall', name: 'Ada' });
//   button.onclick = () => room.listen();
import { RoomError, closeMic, connectMic, findRelay, openAudio, openMic, startEngine } from './engine/page.js';

export { RoomError };

/**
 * @typedef {object} ConnectOptions
 * @property {string} room
 * @property {string} [name] default "Guest"
 * @property {string} [role] that is wanted; default "listener"
 * @property {string} [token]
 * @property {string} [relay] "https://host:port/tribune"; default: by /web/relay.json of the page's origin
 * @property {Uint8Array} [session] 16 bytes by which one is known again, for 30 s after the connection is lost; default: new ones
 * @property {boolean} [returning] the session is one of before: a role or a raised hand may wait; default false
 * @property {'live'|'audience'} [profile] default: the room's choice
 * @property {'webtransport'|'websocket'} [transport] default: the first that gets through
 *
 * @typedef {object} StageEntry
 * @property {string} participant decimal digits
 * @property {string} name
 * @property {string} role
 * @property {number} track
 * @property {boolean} [silenced]
 * @property {boolean} [muted]
 * @property {boolean} [away]
 *
 * @typedef {object} Place of oneself
 * @property {string} participant
 * @property {string} role
 * @property {number} [track] where one may speak
 * @property {boolean} [silenced]
 * @property {number} [hand] place in the queue, from 1
 * @property {string} [reason]
 * @property {string[]} [may] permissions
 * @property {string} [invited_by]
 * @property {string} [profile]
 *
 * @typedef {import('./engine/page.js').Why} Why
 * @typedef {import('./engine/page.js').Engine} Engine
 * @typedef {import('./engine/page.js').Mic} Mic
 */

const key = () => crypto.getRandomValues(new Uint8Array(16));

/**
 * Enters a room.
 * @param {ConnectOptions} options
 * @returns {Promise<Room>} once it has let one in; rejects with a RoomError
 */
export async function connect({ room, name = 'Guest', role = 'listener', token, session = key(), returning, relay, profile, transport }) {
  // The gesture that enters is the one that may start sound, and is over when the room has let one in.
  const audio = navigator.userActivation?.isActive ? openAudio() : null;
  const found = await findRelay(relay, transport);
  const engine = startEngine();
  const joined = new Promise((resolve, reject) => {
    engine.worker.onerror = () => reject(new RoomError({ code: 'failed', message: 'the worker does not start' }));
    engine.worker.addEventListener('message', ({ data: { event, detail } }) => {
      if (event === 'joined') resolve(undefined);
      else if (event === 'state' && detail.state === 'refused') reject(new RoomError(detail.why));
    });
  });
  const entered = new Room(engine, room, audio);
  engine.call('join', { ...found, join: { room, name, role, token, profile, session, returning } });
  try {
    await joined;
  } catch (error) {
    engine.worker.terminate();
    audio?.close();
    throw error;
  }
  return entered;
}

/** @param {{relay?: string, transport?: 'webtransport'|'websocket'}} where @param {any} first */
async function askOnce({ relay, transport }, first) {
  const found = await findRelay(relay, transport);
  const engine = startEngine();
  try {
    return await engine.call('errand', { ...found, first });
  } finally {
    engine.worker.terminate();
  }
}

/**
 * A request about a room of somebody who does not enter it.
 * @param {{room: string, act: {do: string, [field: string]: any}, role?: string, name?: string, token?: string, session?: Uint8Array, relay?: string,
 *   transport?: 'webtransport'|'websocket'}} options
 * @returns {Promise<any>} the answer; rejects with a RoomError
 */
export function errand({ room, act, role = 'listener', name = 'Guest', token, session = key(), relay, transport }) {
  return askOnce({ relay, transport }, { type: 'errand', room, session, name, role, token, act });
}

/**
 * What a room is, without entering it.
 * @param {{room: string, relay?: string, token?: string, name?: string, transport?: 'webtransport'|'websocket'}} options
 * @returns {Promise<{room: string, phase: 'absent'|'announced'|'live'|'ended', settings?: any, stage?: StageEntry[], listeners?: number}>}
 */
export function lookUp(options) {
  return errand({ ...options, act: { do: 'show' } });
}

/**
 * The public rooms.
 * @param {{relay?: string, after?: string, transport?: 'webtransport'|'websocket'}} [options] `after`: the last one of the part before
 * @returns {Promise<{rooms: {room: string, phase: string, title?: string, starts_s?: number, listeners?: number}[], more: boolean}>}
 */
export function listRooms({ after, ...where } = {}) {
  return askOnce(where, { type: 'list_rooms', after });
}

/**
 * A room that one is in. Events (`detail` in brackets): "state" ({state, why?}), "stage" (StageEntry[]), "you"
 * (Place), "listeners" (number), "room" ({room, phase, settings}), "hands" ({hands, total}), "moderated",
 * "reactions" (counts by name), "levels" (Map of track to {level: 0 to 127 −dBov, speaking}, ten a second),
 * "token_expires" (seconds), "please_mute" ({by, reason?}), "notice" ({kind}: "mic_silent", "mic_back", "mic_lost",
 * "no_encoder", "sound_blocked", "sound_back"), "frame" ({track, seq, pcm}; see `onFrames`).
 */
export class Room extends EventTarget {
  /** @type {'connecting'|'joined'|'reconnecting'|'moving'|'ended'|'refused'} */
  state = 'connecting';
  /** @type {Why|undefined} */
  why;
  /** @type {StageEntry[]} */
  stage = [];
  /** @type {Place|null} */
  you = null;
  listeners = 0;
  /** How the room is set up; what is absent has its default. @type {any} */
  settings = {};
  /** Name of the relay that one is connected to. */
  relay = '';
  transport = '';
  muted = false;
  /** Of the own microphone, −dBov; 127: silence, or none. */
  micLevel = 127;
  /** @type {AudioContext|null} */
  #audio = null;
  /** @type {AudioWorkletNode|null} */
  #ear = null;
  /** @type {Promise<void>|null} */
  #listening = null;
  /** @type {Mic|null} */
  #mic = null;
  #speaks = 0;
  #volume = 1;
  #talk = true;
  #engine;

  /** @param {Engine} engine @param {string} name @param {AudioContext|null} audio */
  constructor(engine, name, audio) {
    super();
    this.name = name;
    this.#audio = audio && this.#watch(audio);
    this.#engine = engine;
    engine.worker.addEventListener('message', ({ data }) => data.event && this.#handle(data));
  }

  /** @param {{event: string, detail: any, mic?: number}} message */
  #handle({ event, detail, mic }) {
    if (event === 'state') {
      this.state = detail.state;
      this.why = detail.why;
      if (detail.state === 'ended') this.#end();
    } else if (event === 'joined') {
      this.relay = detail.relay;
      this.transport = detail.transport;
    } else if (event === 'stage') this.stage = detail;
    else if (event === 'listeners') this.listeners = detail;
    else if (event === 'room') this.settings = detail.settings;
    else if (event === 'levels') this.micLevel = mic ?? 127;
    else if (event === 'you') {
      this.you = detail;
      if (detail.track === undefined) this.stopSpeaking();
    }
    this.dispatchEvent(new CustomEvent(event, { detail }));
  }

  /** @param {string} kind */
  #notice(kind) {
    this.dispatchEvent(new CustomEvent('notice', { detail: { kind } }));
  }

  // Messages. Each resolves with the answer, or rejects with a RoomError.

  /** A request to the origin. @param {{do: string, [field: string]: any}} act one of the protocol's `govern` @returns {Promise<any>} */
  ask(act) {
    return this.#engine.call('ask', act);
  }
  /** Any other message of a participant. @param {string} type @param {object} [fields] @returns {Promise<any>} */
  send(type, fields = {}) {
    return this.#engine.call('send', { ...fields, type });
  }
  /** @param {string} [note] up to 200 bytes */
  raiseHand(note = '') {
    return this.send('raise_hand', { note });
  }
  lowerHand() {
    return this.send('lower_hand');
  }
  /** @param {'clap'|'heart'|'laugh'|'agree'|'disagree'|'wow'} reaction */
  react(reaction) {
    return this.send('react', { reaction });
  }
  leaveStage() {
    return this.send('leave_stage');
  }
  /** @param {string} token a newer one for the same person and room */
  renewToken(token) {
    return this.send('renew_token', { token });
  }
  /** @param {'live'|'audience'} [profile] none: the room's choice */
  setProfile(profile) {
    return this.send('set_profile', { profile });
  }
  /** @param {boolean} accept */
  answerInvite(accept) {
    return this.ask({ do: 'answer_invite', accept });
  }
  /** Entries of the log, from a number on. @param {number} [from] @returns {Promise<{entries: any[], next: number, own_only?: boolean}>} */
  readLog(from = 1) {
    return this.ask({ do: 'read_log', from });
  }
  /** Against a decision; also after one has been removed. @param {number} entry of the log @param {string} text */
  appeal(entry, text) {
    return this.ask({ do: 'appeal', entry, text });
  }
  /** Goes for good; "state" says `ended` with the code "left". */
  leave() {
    return this.#engine.call('leave');
  }

  // Sound.

  /**
   * Begins to be heard. To be called in a user's gesture; again, it does nothing.
   * @returns {Promise<void>} once the sound is set up; it starts with the first gesture that the browser takes for one
   */
  listen() {
    this.#listening ??= this.#startListening();
    this.#wake();
    return this.#listening;
  }

  #context() {
    const audio = this.#audio ?? openAudio();
    if (!audio) throw new RoomError({ code: 'no_audio', message: 'this browser has no Web Audio' });
    return this.#audio ?? (this.#audio = this.#watch(audio));
  }

  /** @param {AudioContext} audio */
  #watch(audio) {
    audio.onstatechange = () => audio.state !== 'closed' && this.#notice(audio.state === 'running' ? 'sound_back' : 'sound_blocked');
    for (const gesture of ['pointerdown', 'pointerup', 'keydown', 'visibilitychange']) document.addEventListener(gesture, this.#wake);
    return audio;
  }

  /** Browsers start sound in a gesture only, and stop it for a call: each gesture sets it going again. */
  #wake = () => {
    if (this.#audio && this.#audio.state !== 'running') this.#audio.resume().catch(() => {});
  };

  async #startListening() {
    this.#session(this.#mic ? 'play-and-record' : 'playback');
    const audio = this.#context();
    await audio.audioWorklet.addModule(new URL('./audio/ear.js', import.meta.url));
    const ear = new AudioWorkletNode(audio, 'tribune-ear', { numberOfInputs: 0, outputChannelCount: [1] });
    const { port1, port2 } = new MessageChannel();
    ear.port.postMessage({ port: port1, volume: this.#volume }, [port1]);
    ear.connect(audio.destination);
    this.#ear = ear;
    // Firefox' `outputLatency` can wait for a device that is being opened, and the page with it, for ever.
    const isFirefox = navigator.userAgent.includes('Firefox/');
    const latency = isFirefox ? audio.baseLatency : audio.outputLatency || audio.baseLatency;
    this.#engine.call('output', { ms: 1000 * (latency || 0) });
    await this.#engine.call('ear', { port: port2 }, [port2]);
  }

  /** iOS: sound goes on with the ring switch off and the screen locked. @param {string} type */
  #session(type) {
    const { audioSession } = /** @type {any} */ (navigator);
    if (audioSession) audioSession.type = type;
  }

  /** 0 to 1, default 1. */
  get volume() {
    return this.#volume;
  }
  set volume(volume) {
    this.#volume = Math.min(Math.max(volume, 0), 1);
    this.#ear?.port.postMessage({ volume: this.#volume });
  }

  /** From now on each frame that is heard comes as an event "frame": 960 samples at 48 kHz. */
  onFrames() {
    return this.#engine.call('frames');
  }

  // Speech.

  /** Whether a microphone is open. */
  get speaking() {
    return this.#mic !== null;
  }

  /**
   * Opens the microphone. One must be on the stage.
   * @param {{deviceId?: string, pushToTalk?: boolean}} [options] `pushToTalk`: only while `talk(true)`
   * @returns {Promise<void>} rejects with a RoomError
   */
  async speak({ deviceId, pushToTalk = false } = {}) {
    if (this.you?.track === undefined) throw new RoomError({ code: 'not_on_stage', message: 'one has to be on the stage' });
    const turn = ++this.#speaks;
    this.#session('play-and-record');
    const stream = await openMic(deviceId);
    if (turn !== this.#speaks) return stream.getTracks().forEach((track) => track.stop());
    this.#closeMic();
    try {
      const { port1, port2 } = new MessageChannel();
      const mic = await connectMic(stream, port1, this.#context());
      if (turn !== this.#speaks) return closeMic(mic);
      this.#mic = mic;
      this.#talk = !pushToTalk;
      stream.getAudioTracks()[0].onended = () => this.#mic === mic && (this.stopSpeaking(), this.#notice('mic_lost'));
      await this.#engine.call('mouth', { port: port2 }, [port2]);
      await this.#sayMute(false);
    } catch (error) {
      stream.getTracks().forEach((track) => track.stop());
      throw new RoomError({ code: 'mic_failed', message: String(error) });
    }
  }

  /** Closes the microphone. The place on the stage stays. */
  stopSpeaking() {
    this.#speaks++;
    if (!this.#mic) return;
    this.#closeMic();
    this.#engine.call('mouth', { port: null });
    this.#session('playback');
  }

  #closeMic() {
    if (this.#mic) closeMic(this.#mic, this.#audio);
    this.#mic = null;
  }

  /** @param {boolean} muted @returns {Promise<void>} */
  async mute(muted) {
    this.muted = muted;
    await this.#sayMute(true);
  }
  /** Push to talk: opens and closes the microphone, unless it is muted. @param {boolean} on */
  async talk(on) {
    this.#talk = on;
    await this.#sayMute(false);
  }
  /** @param {boolean} tell */
  #sayMute(tell) {
    return this.#engine.call('mute', { muted: this.muted || !this.#talk, tell });
  }

  /** @returns {Promise<Record<string, number|string>>} counts since the start; `…Ms` are milliseconds, NaN where not known */
  async stats() {
    const { state = 'none', sampleRate = 0 } = this.#audio ?? {};
    return { ...await this.#engine.call('stats'), audio: state, sampleRate };
  }

  #end() {
    this.#speaks++;
    this.#closeMic();
    for (const gesture of ['pointerdown', 'pointerup', 'keydown', 'visibilitychange']) document.removeEventListener(gesture, this.#wake);
    this.#audio?.close();
    this.#audio = this.#ear = null;
  }
}
