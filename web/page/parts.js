// @ts-check
// What several views are made of.
import { h } from './dom.js';
import { fill, w } from './words.js';

/** @param {string} label @param {(event: any) => void} onclick @param {string|null} [testid] @param {Record<string, any>} [props] */
export const button = (label, onclick, testid, { class: kind = '', ...props } = {}) =>
  h(`button${kind && `.${kind}`}`, { type: 'button', onclick, 'data-testid': testid, ...props }, label);

/** @param {string} label @param {Record<string, any>} props of the input; `tag` for another element @param {...any} kids */
export const field = (label, { tag = 'input', testid, ...props }, ...kids) =>
  h('label.field', null, h('span', null, label), h(tag, { 'data-testid': testid, autocomplete: 'off', ...props }, ...kids));

/** @param {string} label @param {Record<string, any>} props */
export const check = (label, props) => h('label.check', null, h('input', { type: 'checkbox', ...props }), h('span', null, label));

/** @param {string} label @param {[string|number, string][]} options value and text @param {Record<string, any>} props */
export const choice = (label, options, { value, ...props }) => field(label, { tag: 'select', ...props },
  ...options.map(([option, text]) => h('option', { key: option, value: String(option), selected: String(option) === String(value) }, text)));

/** @param {(fields: Record<string, string>, how: string) => void} done `how`: the value of the button @param {Record<string, any>} props @param {...any} kids */
export const form = (done, props, ...kids) => h('form', {
  ...props,
  onsubmit: (/** @type {any} */ event) => {
    event.preventDefault();
    done(Object.fromEntries(/** @type {any} */ (new FormData(event.target))), event.submitter?.value);
  },
}, ...kids);

/** @param {string} label @param {string} [testid] @param {Record<string, any>} [props] */
export const submit = (label, testid, props) => h('button.main', { type: 'submit', 'data-testid': testid, ...props }, label);

/** What one can close: it takes the focus, and gives it back. @param {string} title @param {() => void} closed @param {...any} kids */
export const dialog = (title, closed, ...kids) => h('dialog', {
  key: 'dialog', 'aria-label': title, onclose: closed,
  ref: (/** @type {HTMLDialogElement} */ element) => {
    element.showModal();
    aim();
  },
}, h('header', null, h('h2', null, title), button(w.close, shut, null, { class: 'quiet' })), ...kids);

/** The sentence of the relay. @param {string} message */
export const relaySays = (message) => message && h('span', null, ` ${fill(w.saidSo, { message: '' })}`, h('span', { lang: 'en' }, message));

/** Into the first field, or to what is proposed; what removes somebody is not. */
export const aim = () => /** @type {HTMLElement|null} */ (document.querySelector('dialog :is(input, textarea, select, .main)'))?.focus();

/** Closes the dialog that is open. */
export const shut = () => document.querySelector('dialog')?.close();
