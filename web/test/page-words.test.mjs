// Strings of the page: the same in both languages, and words for every code of the specification.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import en from '../strings/en.js';
import fr from '../strings/fr.js';
import { detail, explain, remedy } from '../page/model.js';
import { clock, count, fill, span, speak, w, when } from '../page/words.js';

const PLURALS = ['zero', 'one', 'two', 'few', 'many', 'other'];
const spec = readFileSync(new URL('../../protocol/SPEC.md', import.meta.url), 'utf8');

/** Path and placeholders of every text; the forms of a plural are one text. */
function texts(value, path = '') {
  if (typeof value === 'string') return [`${path} ${[...new Set(value.match(/\{\w+\}/g))].sort().join(' ')}`];
  const keys = Object.keys(value);
  if (!Array.isArray(value) && keys.every((key) => PLURALS.includes(key))) {
    assert.ok(value.other, `${path} has a form for all other numbers`);
    return texts(value.other, path);
  }
  return keys.flatMap((key) => texts(value[key], `${path}.${key}`));
}

/** First cells of the table of a section. */
function codes(heading) {
  const section = spec.split(`### ${heading}\n`)[1].split(/\n##/)[0];
  return [...section.matchAll(/^\| `?([a-z_]+|0x[0-9a-f]{2})`? \|/gm)].map(([, code]) => code).filter((code) => code !== 'code');
}

test('both languages have the same texts, with the same placeholders', () => {
  assert.deepEqual(texts(fr), texts(en));
});

test('every refusal has words', () => {
  const all = codes('10.1 Error codes');
  assert.ok(all.length > 30);
  for (const words of [en, fr]) assert.deepEqual(all.filter((code) => !words.errors[code]), []);
});

test('every close has words', () => {
  const all = codes('10.2 Close codes');
  assert.ok(all.length > 12);
  for (const words of [en, fr]) assert.deepEqual(all.filter((code) => !words.closes[Number(code)]), []);
});

test('every action of the log and every reaction has words', () => {
  const actions = /log-action = ([^;]+?)\n\n/.exec(spec)[1].match(/[a-z_]+/g);
  assert.ok(actions.length > 25);
  const reactions = /reaction = ("[^\n]+)/.exec(spec)[1].match(/[a-z]+/g);
  for (const words of [en, fr]) {
    assert.deepEqual(actions.filter((action) => !words.actions[action]), []);
    assert.deepEqual(reactions.filter((reaction) => !words.reaction[reaction]), []);
  }
});

test('an end is explained by its code, then by how the connection closed', async () => {
  await speak('en');
  assert.equal(explain({ code: 'banned', closeCode: 0x10 }), en.errors.banned);
  assert.equal(explain({ code: 'room_over', closeCode: 0x11 }), en.closes[0x11]);
  assert.equal(explain({ code: 'something_newer' }), en.errors.other);
  assert.equal(explain({ closeCode: 0 }), en.closes[0]);
});

test('the relay\'s sentence is shown where it says more', async () => {
  await speak('en');
  assert.equal(detail({ code: 'cooldown', message: 'Wait 20 s.' }), 'Wait 20 s.');
  assert.equal(detail({ code: 'something_newer', message: 'The moon is full.' }), 'The moon is full.');
  assert.equal(detail({ code: 'locked', message: 'The room is locked.' }), '');
  assert.equal(detail({ code: 'room_over', closeCode: 0x11, message: 'the room is over' }), '');
});

test('each end has a remedy', () => {
  assert.equal(remedy('token_missing'), 'token');
  assert.equal(remedy('access_denied'), 'token');
  assert.equal(remedy('name_taken'), 'name');
  assert.equal(remedy('replaced'), 'back');
  assert.equal(remedy('banned'), 'none');
  assert.equal(remedy('room_over'), 'none');
  assert.equal(remedy('unreachable'), 'retry');
});

test('values and plurals are filled in', async () => {
  await speak('en');
  assert.equal(fill(w.listenersN, { n: 1 }), '1 listener');
  assert.equal(fill(w.listenersN, { n: 12_345 }), '12,345 listeners');
  assert.equal(fill('{a} and {b}', { a: 'x {b}' }), 'x {b} and ');
  await speak('fr');
  assert.equal(fill(w.listenersN, { n: 0 }), '0 auditeur');
  assert.equal(fill(w.listenersN, { n: 2 }), '2 auditeurs');
  assert.equal(count(12_345).replace(/\s/g, ' '), '12 345');
});

test('times are in the reader\'s zone and language', async () => {
  await speak('en');
  const plain = (text) => text.replace(/[\u202f\u00a0]/g, ' ');
  assert.match(plain(when(1_800_000_000, 'UTC')), /^Friday, January 15 at 8:00 AM UTC$/);
  assert.match(plain(when(1_800_000_000, 'America/New_York')), /3:00 AM EST$/);
  assert.match(plain(clock(1_800_000_000_000, 'UTC')), /^1\/15\/27, 8:00:00 AM$/);
  await speak('fr');
  assert.match(plain(when(1_800_000_000, 'Europe/Paris')), /^vendredi 15 janvier à 0?9:00 UTC\+1$/);
});

test('a length of time has two units at the most', async () => {
  await speak('en');
  for (const [seconds, text] of [
    [0, '0 sec'], [-5, '0 sec'], [59, '59 sec'], [60, '1 min'], [75, '1 min 15 sec'], [3600, '1 hr'], [3661, '1 hr 1 min'],
    [86_400, '1 day'], [93_784, '1 day 2 hr'], [604_800, '7 days'],
  ]) assert.equal(span(seconds), text, String(seconds));
});
