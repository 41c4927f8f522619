// @ts-check
// A stay in a room: looks whether it is there, enters, hears, speaks; keeps the page's state by the room's events.
import { connect, lookUp } from '../tribune.js';
import { detail, explain, hostOf, lookAgain, loudness, ownNews, removalIn, stageNews } from './model.js';
import { held, kept, may, s, set, tell } from './store.js';
import { fill, span, w } from './words.js';

const BLOCKED_AFTER = 1500;
const LOG_PARTS_MAX = 40;

/** @type {import('../tribune.js').Room|null} */
export let room = null;
/** @type {number|undefined} */
let looking;

/** Where to dial and how, by the page's address. @returns {any} */
export function dialling() {
  const query = new URLSearchParams(location.search);
  const [relay, profile, transport] = ['relay', 'profile', 'transport'].map((name) => query.get(name) ?? undefined);
  return { relay: relay && `https://${relay}/tribune`, profile, transport };
}

/**
 * By what one is known again after the page was loaded anew: kept for as long as the tab is open.
 * @returns {{session: Uint8Array, returning: boolean}}
 */
export function ownSession() {
  const before = held('session').match(/^[0-9a-f]{32}$/)?.[0].match(/../g);
  const session = before ? Uint8Array.from(before, (byte) => parseInt(byte, 16)) : crypto.getRandomValues(new Uint8Array(16));
  held('session', Array.from(session, (byte) => byte.toString(16).padStart(2, '0')).join(''));
  return { session, returning: !!before };
}

/** Looks whether the room is there, again and again until one is in it. */
export async function look() {
  clearTimeout(looking);
  try {
    const info = await lookUp({ room: s.room, token: s.token || undefined, ...dialling() });
    const { phase, settings = {} } = info;
    if (s.step !== 'look' && s.step !== 'before') return;
    set({ info, settings, stage: info.stage ?? [], listeners: Number(info.listeners ?? 0), step: 'before', why: null });
    if (phase === 'live' && s.waits) return join('listener');
  } catch (error) {
    if (s.step !== 'look' && s.step !== 'before') return;
    const why = /** @type {any} */ (error);
    // A room that does not let one look can still let one in.
    set(why.code === 'unreachable' && !s.info ? { step: 'over', why } : { step: 'before', info: s.info ?? { phase: 'hidden' } });
  }
  looking = window.setTimeout(look, lookAgain(s.info ?? {}, Date.now() / 1000, Math.random()));
}

/** To be called in a gesture, which lets the sound begin. @param {string} role */
export async function join(role) {
  clearTimeout(looking);
  kept('name', s.name);
  set({ step: 'joining', role, waits: false, why: null, problem: '' });
  try {
    const { token, name } = s;
    room = await connect({ room: s.room, name: name || w.guest, role, token: token || undefined, ...ownSession(), ...dialling() });
  } catch (error) {
    return over(/** @type {any} */ (error));
  }
  const { stage, you, listeners, settings, state } = room;
  set({ step: 'in', stage, you: you ?? {}, listeners: Number(listeners), settings, state, news: [], decision: null });
  for (const [event, handle] of Object.entries(handlers)) {
    room.addEventListener(event, (/** @type {any} */ { detail }) => handle(detail));
  }
  if (may('see_hands')) attempt(() => ask({ do: 'list_hands' }).then(handlers.hands));
  hear();
  if (you?.track !== undefined) openMic(false);
}

/** @param {any} why */
function over(why) {
  const { code, closeCode, message, moderated } = why;
  if (code === 'token_expired' || closeCode === 0x13) held(`token.${s.room}`, null);
  set({ step: 'over', why: { code, closeCode, message, moderated: moderated ?? (/^(kicked|banned)$/.test(code) ? s.decision : null) }, dialog: null, mic: 'off' });
  if ('mediaSession' in navigator) navigator.mediaSession.playbackState = 'none';
  if (code === 'removed' && room) findRemoval(room);
}

/** The close can overtake the message that says who and why: the log has it. @param {import('../tribune.js').Room} left */
async function findRemoval(left) {
  /** @type {any[]} */
  const entries = [];
  try {
    for await (const part of logParts(left, 1)) entries.push(...part.entries);
  } catch {
    return;
  }
  const moderated = removalIn(entries);
  if (moderated && s.step === 'over') set({ why: { ...s.why, code: moderated.action, moderated } });
}

/**
 * The log from an entry on, in the parts in which it comes, to a bound.
 * @param {import('../tribune.js').Room} of @param {number} from
 * @returns {AsyncGenerator<{entries: any[], next: number, ownOnly: boolean}>}
 */
export async function* logParts(of, from) {
  let next = from;
  for (let i = 0; i < LOG_PARTS_MAX; i++) {
    const answer = /** @type {any} */ (await of.readLog(next));
    const before = next;
    next = Number(answer.next);
    yield { entries: answer.entries.map((/** @type {any} */ stored) => stored.entry ?? stored), next, ownOnly: Boolean(answer.own_only) };
    // One's own entries come without the log's end: it is where nothing follows.
    if (answer.head || next === before) return;
  }
}

/** Begins to hear. To be called in a gesture. */
export function hear() {
  attempt(() => /** @type {any} */ (room).listen());
  showMedia();
  // A sound that has never begun changes no state: nothing tells that it is held back.
  setTimeout(async () => {
    const { audio } = await room?.stats() ?? {};
    if (s.step === 'in') set({ blocked: /^(suspended|interrupted)$/.test(String(audio)) });
  }, BLOCKED_AFTER);
}

/** Names the room on the lock screen, with a stop. */
function showMedia() {
  if (!('mediaSession' in navigator)) return;
  const { mediaSession } = navigator;
  mediaSession.metadata = new MediaMetadata({ title: s.settings.title || s.room, artist: hostOf(s.stage), album: 'Tribune' });
  mediaSession.playbackState = 'playing';
  mediaSession.setActionHandler('stop', leave);
  for (const action of /** @type {const} */ (['play', 'pause'])) {
    mediaSession.setActionHandler(action, () => {
      if (room) room.volume = action === 'play' ? 1 : 0;
      mediaSession.playbackState = action === 'play' ? 'playing' : 'paused';
    });
  }
}

export const leave = () => room?.leave();

/** @param {any} act @returns {Promise<any>} */
export const ask = (act) => /** @type {any} */ (room).ask(act);

/** Does something, and says why it was not done. @param {() => Promise<any>} what @returns {Promise<any>} undefined if not */
export async function attempt(what) {
  set({ problem: '', more: '' });
  try {
    return await what() ?? true;
  } catch (error) {
    const why = /** @type {any} */ (error);
    set({ problem: explain(why), more: detail(why) });
    return undefined;
  }
}

/** @param {boolean} muted */
export async function openMic(muted) {
  const { device: deviceId, ptt: pushToTalk } = s;
  set({ mic: 'asking', micWarning: '', talks: false });
  const done = await attempt(async () => {
    if (muted) await room?.mute(true);
    await room?.speak({ deviceId: deviceId || undefined, pushToTalk });
    if (!muted && room?.muted) await room.mute(false);
  });
  set({ mic: done ? (muted ? 'muted' : 'open') : 'off' });
}

export function toggleMute() {
  if (s.you.track === undefined || s.mic === 'asking') return;
  if (s.mic === 'off') return openMic(false);
  const muted = s.mic === 'open';
  set({ mic: muted ? 'muted' : 'open', asked: null });
  attempt(() => /** @type {any} */ (room).mute(muted));
}

/** Push to talk. @param {boolean} on */
export function talk(on) {
  if (s.ptt && s.mic === 'open' && s.talks !== on) {
    set({ talks: on });
    room?.talk(on);
  }
}

/** What the room says. @type {Record<string, (detail: any) => void>} */
const handlers = {
  state({ state, why }) {
    if (state === 'ended' || state === 'refused') return over(why);
    if (state === 'reconnecting' || state === 'moving') tell(/** @type {any} */ (w.said)[state]);
    else if (state === 'joined' && s.state !== 'joined') tell(w.said.joinedAgain);
    set({ state });
  },
  stage(stage) {
    tell(...stageNews(s.stage, stage));
    set({ stage });
    showMedia();
  },
  you(you) {
    tell(...ownNews(s.you, you));
    const came = you.track !== undefined && s.you.track === undefined;
    const wasInvited = Boolean(s.you.invited_by);
    const dialog = you.invited_by && !wasInvited ? { kind: 'invited' } : !you.invited_by && s.dialog?.kind === 'invited' ? null : s.dialog;
    set({ you, dialog, ...(you.track === undefined ? { mic: 'off', asked: null, micWarning: '' } : {}) });
    // Whose hand is granted may be doing something else by now: nobody is heard before they say so.
    if (came && s.mic === 'off') openMic(!s.accepts);
    s.accepts = false;
  },
  listeners: (n) => set({ listeners: Number(n) }),
  room({ settings }) {
    const { locked } = s.settings;
    if (!locked !== !settings.locked) tell(settings.locked ? w.said.locked : w.said.unlocked);
    set({ settings });
    showMedia();
  },
  hands({ hands, total }) {
    const known = new Set(s.hands.map((/** @type {any} */ { participant }) => participant));
    tell(...hands.filter((/** @type {any} */ { participant }) => !known.has(participant)).map((/** @type {any} */ { name }) => fill(w.said.raised, { name })));
    set({ hands, handsTotal: total, handsAt: Date.now() });
  },
  moderated: (decision) => set({ decision }),
  please_mute: (asked) => set({ asked }),
  token_expires: (seconds) => set({ expires: fill(w.said.expires, { span: span(seconds) }) }),
  caption: ({ text }) => set({ caption: text }),
  notice({ kind }) {
    if (/^sound_/.test(kind)) set({ blocked: kind === 'sound_blocked' });
    else if (kind === 'mic_silent') set({ micWarning: w.micSilent });
    else if (kind === 'mic_back') set({ micWarning: '' });
    else if (kind === 'mic_lost') set({ mic: 'off', micWarning: w.micLost });
    else if (kind === 'no_encoder') set({ mic: 'off', micWarning: w.said.no_encoder });
  },
  levels: (levels) => showLevels(levels),
  reactions: (counts) => dispatchEvent(new CustomEvent('reactions', { detail: counts })),
};

/** Ten times a second: past the views, straight to the rings. @param {Map<number, {level: number, speaking: boolean}>} levels */
export function showLevels(levels) {
  const own = loudness(room?.micLevel ?? 127);
  for (const item of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll('[data-track]'))) {
    const isSelf = item.dataset.self !== undefined;
    const { level = 127, speaking = false } = levels.get(Number(item.dataset.track)) ?? {};
    const isHeard = isSelf ? s.mic === 'open' && (!s.ptt || s.talks) && own > 0.15 : speaking;
    if (isHeard !== item.hasAttribute('data-speaking')) item.toggleAttribute('data-speaking', isHeard);
    item.style.setProperty('--level', isHeard ? (isSelf ? own : loudness(level)).toFixed(2) : '0');
  }
  const meter = /** @type {HTMLMeterElement|null} */ (document.querySelector('meter'));
  if (meter) meter.value = s.mic === 'open' ? own : 0;
}
