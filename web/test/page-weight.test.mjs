// Weight of what is served: a link on a phone's network is answered in a moment. Compressed by gzip, as it travels.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';

const root = new URL('../', import.meta.url);
const PAGE_MAX = 46_000;
const ALL_MAX = 100_000;

/** @param {string[]} folders "" for the files at the top */
function files(folders) {
  return folders.flatMap((folder) => readdirSync(new URL(folder, root), { withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.(js|css|html)$/.test(entry.name)).map((entry) => folder + entry.name));
}
const weight = (names) => names.reduce((sum, name) => sum + gzipSync(readFileSync(new URL(name, root)), { level: 9 }).length, 0);

test('the page, its words and its looks', (t) => {
  const own = ['index.html', 'embed.html', 'style.css', ...files(['page/', 'strings/'])];
  t.diagnostic(`${weight(own)} bytes`);
  assert.ok(weight(own) < PAGE_MAX, `${weight(own)} bytes`);
});

test('everything that is served', (t) => {
  const all = files(['', 'page/', 'strings/', 'engine/', 'audio/']);
  t.diagnostic(`${weight(all)} bytes`);
  assert.ok(weight(all) < ALL_MAX, `${weight(all)} bytes`);
});

test('nothing is loaded from elsewhere, no script or style stands in a page, and no markup is parsed', () => {
  for (const name of ['index.html', 'embed.html']) {
    const html = readFileSync(new URL(name, root), 'utf8');
    for (const [, url] of html.matchAll(/(?:src|href)="([^"]+)"/g)) assert.match(url, /^(\/web\/|data:image)/, name);
    assert.doesNotMatch(html, /<style|\sstyle=|\son[a-z]+=|<script(?![^>]*src=)/, name);
  }
  for (const name of files(['page/', 'strings/'])) {
    assert.doesNotMatch(readFileSync(new URL(name, root), 'utf8'), /innerHTML|outerHTML|insertAdjacentHTML|document\.write|https?:\/\/(?!\$)/, name);
  }
});
