// Views of the page, as descriptions: which of what is there for whom.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { before, home, over } from '../page/door.js';
import { changed, dialogs, settingsOf } from '../page/dialogs.js';
import { h } from '../page/dom.js';
import { hall } from '../page/hall.js';
import { s } from '../page/store.js';
import { speak, w } from '../page/words.js';

globalThis.location = /** @type {any} */ ({ search: '', origin: 'https://example.org' });
const fresh = structuredClone(s);
const LISTENER = ['raise_hand', 'react', 'answer_invite', 'appeal'];
const stage = [{ participant: '1', name: 'Ada', role: 'host', track: 1 }, { participant: '2', name: 'Bob', role: 'speaker', track: 2 }];

/** @param {Record<string, any>} state */
const be = (state) => Object.assign(s, structuredClone(fresh), { view: 'room', room: 'rivers' }, state);

function* nodes(tree) {
  if (typeof tree === 'string') return;
  yield tree;
  for (const kid of tree.kids) yield* nodes(kid);
}
const ids = (tree) => [...nodes(tree)].map(({ props }) => props['data-testid']).filter(Boolean);
const find = (tree, id) => [...nodes(tree)].find(({ props }) => props['data-testid'] === id);
const text = (tree) => (typeof tree === 'string' ? tree : tree.kids.map(text).join(''));

test('descriptions keep the place of what is not there', () => {
  assert.deepEqual(h('p.a.b', { id: 'x' }, 'text', null, false, 0, [h('i', null)]), {
    tag: 'p', props: { class: 'a b', id: 'x' }, kids: ['text', '', '', '0', { tag: 'i', props: {}, kids: [] }],
  });
});

for (const language of ['en', 'fr']) {
  test(`a listener is shown nothing to govern (${language})`, async () => {
    await speak(language);
    be({ step: 'in', stage, listeners: 2, you: { participant: '9', role: 'listener', may: LISTENER } });
    const tree = hall();
    const there = ids(tree);
    for (const id of ['stage', 'title', 'state', 'listeners', 'hand', 'leave', 'share', 'react-clap']) assert.ok(there.includes(id), id);
    for (const id of ['hands', 'manage', 'lock', 'log', 'end-room', 'mute', 'settings']) assert.ok(!there.includes(id), id);
    assert.equal(find(tree, 'listeners').props['data-count'], 2);
  });

  test(`a host is shown all of it (${language})`, async () => {
    await speak(language);
    const may = [...LISTENER, 'see_hands', 'grant', 'deny', 'clear_hands', 'kick', 'ban', 'silence', 'silence_all', 'lock', 'set_room',
      'read_log', 'end_room', 'make_invitation', 'invite', 'see_bans'];
    const hands = [{ participant: '7', name: 'Eve', note: 'Bridges', waiting_s: 61 }];
    be({ step: 'in', stage, hands, handsTotal: 1, handsAt: s.now, mic: 'open', you: { participant: '1', role: 'host', track: 1, may } });
    const there = ids(hall());
    for (const id of ['hands', 'grant', 'deny', 'manage', 'lock', 'settings', 'log', 'end-room', 'invitation', 'bans', 'people', 'mute']) assert.ok(there.includes(id), id);
    assert.ok(!there.includes('hand'), 'nobody on the stage raises a hand');
    assert.match(text(find(hall(), 'hands')), /Eve.*Bridges/);
  });

  test(`every dialog has a title and something to do (${language})`, async () => {
    await speak(language);
    const person = stage[1];
    be({ stage, you: { participant: '1', role: 'host', track: 1, may: ['kick', 'ban', 'silence', 'answer_appeal'], invited_by: 'Ada' } });
    for (const dialog of [
      { kind: 'raise' }, { kind: 'invited' }, { kind: 'appeal', entry: 4 }, { kind: 'person', person }, { kind: 'people' }, { kind: 'bans' },
      { kind: 'settings' }, { kind: 'invitation', link: 'https://example.org/r/x#token=y' }, { kind: 'link', url: 'https://example.org' },
      { kind: 'renew' }, { kind: 'create' }, { kind: 'log' }, { kind: 'sound' },
      ...Object.keys(w.asks).filter((deed) => !/^un/.test(deed)).map((deed) => ({ kind: 'deed', deed, person })),
    ]) {
      s.dialog = dialog;
      const tree = dialogs();
      assert.equal(tree.tag, 'dialog');
      assert.ok(tree.props['aria-label'], dialog.kind);
      assert.doesNotMatch(text(tree), /undefined|NaN|\{/, JSON.stringify(dialog));
      if (dialog.kind === 'deed') assert.ok(ids(tree).includes('confirm'), dialog.deed);
    }
  });
}

test('before a room: to listen, to wait, or with a token', async () => {
  await speak('en');
  be({ step: 'before', info: { phase: 'live', settings: { title: 'Rivers' }, stage, listeners: 1 } });
  assert.equal(text(find(before(), 'title')), 'Rivers');
  assert.equal(text(find(before(), 'listen')), w.listen);
  for (const id of ['join-name', 'role', 'token', 'join']) assert.ok(ids(before()).includes(id), id);
  be({ step: 'before', now: 0, info: { phase: 'announced', settings: { starts_s: 5400, access: 'followers >= 600' } } });
  assert.match(text(before()), /in 1 hr 30 min/);
  assert.match(text(before()), /followers >= 600/);
  assert.equal(text(find(before(), 'listen')), w.waitFor);
  s.waits = true;
  assert.ok(!find(before(), 'listen'));
});

test('after a room: why, and what one can do', async () => {
  await speak('en');
  be({ step: 'over', why: { code: 'token_missing', message: 'a token is missing' } });
  assert.ok(ids(over()).includes('token'));
  be({ step: 'over', why: { code: 'replaced', closeCode: 0x12, message: '' } });
  assert.equal(text(find(over(), 'again')), w.back);
  const moderated = { action: 'kicked', by: 'Ada', reason: 'rude', entry: 5 };
  be({ step: 'over', why: { code: 'kicked', closeCode: 0x10, message: 'kicked', moderated } });
  assert.match(text(over()), /Ada removed you from the room\. Reason: rude/);
  assert.ok(ids(over()).includes('appeal-text'));
  assert.ok(!ids(over()).includes('again'));
  be({ step: 'over', why: { code: 'barred', message: 'It is entry 6 of the room\'s log.' } });
  assert.ok(ids(over()).includes('appeal-text'));
  be({ step: 'over', why: { code: 'room_over', closeCode: 0x11, message: '' } });
  assert.equal(text(find(over(), 'state')), w.closes[0x11]);
});

test('only settings that were changed are sent', () => {
  const was = settingsOf({ title: 'Rivers', starts: '', capacity: 0, access: 'open', listed: false });
  assert.equal(changed(was, settingsOf({ title: ' Rivers ', starts: '', capacity: '0', access: 'open ' })), null);
  assert.deepEqual(changed(was, settingsOf({ title: 'Rivers', starts: '', capacity: '50', access: 'open', listed: 'on' })), { capacity: 50, listed: true });
});

test('the front page lists rooms', async () => {
  await speak('en');
  be({ view: 'home', rooms: [{ room: 'rivers', phase: 'live', title: 'Rivers', listeners: 1 }, { room: 'x', phase: 'announced' }] });
  assert.match(text(home()), /Rivers.*1 listener/);
  be({ view: 'home', rooms: [] });
  assert.match(text(home()), new RegExp(w.noRooms));
});
