// @ts-check
// The page begins here: language, light or dark, token, and which view.
import { h, patch } from './dom.js';
import { dialogs } from './dialogs.js';
import { before, home, loadRooms, over } from './door.js';
import { hall } from './hall.js';
import { readToken, REACTIONS, route } from './model.js';
import { button } from './parts.js';
import { look, room, talk, toggleMute } from './stay.js';
import { drawBy, held, kept, s, set } from './store.js';
import { language, speak, w } from './words.js';

const RISING_MAX = 12;

/** A dark page is what the system or the reader wants. @param {string} theme "light", "dark" or "" */
function shine(theme) {
  document.documentElement.dataset.theme = kept('theme', theme || null);
}

function turn() {
  const { theme } = document.documentElement.dataset;
  const isDark = theme ? theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
  shine(isDark ? 'light' : 'dark');
}

/** @param {string} to */
async function useLanguage(to) {
  await speak(to);
  document.documentElement.lang = language;
  set({});
}

const steps = { look: before, before, joining: before, in: hall, over };

function draw() {
  const title = s.settings.title || s.room;
  document.title = title ? `${title} · Tribune` : 'Tribune';
  patch(document.querySelector('#page'), [
    h('a.skip', { key: 'skip', href: '#main' }, w.skip),
    h('header.top', { key: 'top' }, h('a.brand', { href: '/', 'aria-label': w.home }, 'Tribune'),
      button(w.language, () => useLanguage(kept('lang', language === 'fr' ? 'en' : 'fr')), 'lang', { class: 'quiet', lang: language === 'fr' ? 'en' : 'fr' }),
      button('◐', turn, 'theme', { class: 'quiet', 'aria-label': w.theme, title: w.theme })),
    s.view === 'home' ? home() : steps[/** @type {'look'} */ (s.step)](),
    h('div.rise', { key: 'rise', 'aria-hidden': 'true' }, ...risen),
    dialogs(),
  ]);
}

/** @type {any[]} */
let risen = [];
let born = 0;

/** Reactions rise and are gone. @param {any} event */
function rise({ detail }) {
  for (const [name, n] of Object.entries(detail)) {
    for (let i = 0; i < Math.min(Number(n), 4); i++) {
      const key = `r${born++}`;
      const mark = h('span', { key, class: `at${born % 7}`, onanimationend: () => {
        risen = risen.filter((one) => one !== mark);
        set({});
      } }, REACTIONS[/** @type {'clap'} */ (name)] ?? '');
      risen = [...risen, mark].slice(-RISING_MAX);
    }
  }
  set({});
}

/** @param {any} event */
function handleKey(event) {
  const { target, key, type, repeat } = event;
  if (s.step !== 'in' || s.dialog || event.ctrlKey || event.metaKey || event.altKey) return;
  const isMute = target.dataset?.testid === 'mute';
  if (/^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName) || key === ' ' && /^(BUTTON|A|SUMMARY)$/.test(target.tagName) && !isMute) return;
  if (type === 'keydown' && key.toLowerCase() === 'm' && !repeat) toggleMute();
  else if (key === ' ' && s.ptt && s.mic === 'open') {
    event.preventDefault();
    talk(type === 'keydown');
  }
}

/** The token of the link: it leaves the address, and stays in this tab. */
function takeToken() {
  const { hash, pathname, search } = location;
  const found = /[#&]token=([^&]+)/.exec(hash)?.[1];
  if (found) history.replaceState(null, '', pathname + search);
  const token = found ? held(`token.${s.room}`, decodeURIComponent(found)) : held(`token.${s.room}`);
  const { name, role = 'listener' } = readToken(token) ?? {};
  set({ token, role, name: name || kept('name') });
}

async function start() {
  const query = new URLSearchParams(location.search);
  shine(kept('theme'));
  Object.assign(s, route(location.pathname), { name: kept('name'), ptt: kept('ptt') === '1' });
  await useLanguage(query.get('lang') || kept('lang') || navigator.language.slice(0, 2));
  drawBy(draw);
  if (s.view === 'home') loadRooms();
  else {
    takeToken();
    look();
  }
  addEventListener('reactions', rise);
  addEventListener('keydown', handleKey);
  addEventListener('keyup', handleKey);
  addEventListener('blur', () => talk(false));
  addEventListener('hashchange', takeToken);
  // Countdown and waiting times go on by themselves.
  setInterval(() => (s.hands.length || s.info?.settings?.starts_s || s.view === 'home') && set({ now: Date.now() }), 1000);
  set({});
}

Object.defineProperty(globalThis, 'tribune', { value: { get room() { return room; }, stats: () => room?.stats() } });
start();
