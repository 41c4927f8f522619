// @ts-check
// A player of one line, for other people's pages: play, title, who speaks, the way to the room.
import { connect, lookUp } from '../tribune.js';
import { h, patch } from './dom.js';
import { explain, hostOf, route } from './model.js';
import { button } from './parts.js';
import { dialling } from './stay.js';
import { kept } from './store.js';
import { fill, language, speak, w } from './words.js';

const LOOK_PERIOD = 15_000;
const { room: name } = route(location.pathname);

/** @type {Record<string, any>} */
const now = { room: null, state: 'idle', stage: [], settings: {}, listeners: 0, phase: '', talking: '', text: '' };

/** @param {Record<string, any>} change */
function set(change) {
  Object.assign(now, change);
  const { settings, stage, state, talking, listeners, phase, text } = now;
  const isOn = state !== 'idle';
  const host = hostOf(stage);
  const said = text || (isOn && state !== 'joined' ? w.states[/** @type {'joined'} */ (state)] : '')
    || (talking ? `${talking} · ${w.speaking}` : phase === 'live' ? host && fill(w.hostedBy, { name: host }) : phase === 'announced' ? w.announced : '');
  patch(document.querySelector('#page'), [
    h('main.player', { 'aria-label': settings.title || name },
      button(isOn ? w.stop : w.play, isOn ? stop : play, isOn ? 'leave' : 'listen', { class: 'main' }),
      h('div', null, h('h1', { 'data-testid': 'title' }, settings.title || name),
        h('span.soft', { 'data-testid': 'state', 'data-state': state }, said)),
      phase === 'live' && h('span.soft', { 'data-testid': 'listeners' }, fill(w.listenersN, { n: Number(listeners) })),
      h('a', { href: `/r/${name}`, target: '_blank', rel: 'noopener', 'aria-label': `${w.toRoom}: ${settings.title || name}` }, w.toRoom)),
  ]);
}

async function look() {
  if (now.state === 'idle') {
    const { settings = {}, stage = [], listeners = 0, phase } = /** @type {any} */ (await lookUp({ room: name, ...dialling() }).catch(() => ({ phase: '' })));
    if (now.state === 'idle') set({ settings, stage, listeners, phase });
  }
  setTimeout(look, LOOK_PERIOD);
}

async function play() {
  set({ state: 'connecting', text: '' });
  try {
    const room = await connect({ room: name, name: kept('name') || w.guest, ...dialling() });
    set({ room, state: room.state, stage: room.stage, listeners: room.listeners, phase: 'live' });
    for (const [event, handle] of Object.entries(handlers)) room.addEventListener(event, (/** @type {any} */ { detail }) => handle(detail));
    await room.listen();
  } catch (error) {
    set({ state: 'idle', text: explain(/** @type {any} */ (error)) });
  }
}

const stop = () => now.room?.leave();

/** @type {Record<string, (detail: any) => void>} */
const handlers = {
  state: ({ state, why }) => (state === 'ended' ? set({ state: 'idle', talking: '', text: why.code === 'left' ? '' : explain(why) }) : set({ state })),
  stage: (stage) => set({ stage }),
  listeners: (listeners) => set({ listeners }),
  room: ({ settings }) => set({ settings }),
  notice: ({ kind }) => /^sound_/.test(kind) && set({ text: kind === 'sound_blocked' ? w.blocked : '' }),
  levels(levels) {
    const talking = now.stage.filter((/** @type {any} */ { track }) => levels.get(track)?.speaking).map((/** @type {any} */ entry) => entry.name).join(', ');
    if (talking !== now.talking) set({ talking });
  },
};

await speak(new URLSearchParams(location.search).get('lang') || kept('lang') || navigator.language.slice(0, 2));
document.documentElement.lang = language;
document.documentElement.dataset.theme = kept('theme');
set({});
look();
