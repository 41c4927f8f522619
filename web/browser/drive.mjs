// @ts-check
// A browser that does as it is told: one JSON command a line on standard input, one JSON answer a line on
// standard output. It ends with its input, and takes the browser with it.
//
//   {"id":1,"do":"start","browser":"chromium","executable":"/usr/bin/chromium"}
//   {"id":1,"value":{"pid":4711,"version":"Chrome/156.0"}}
//   {"id":2,"do":"click","target":"[data-testid=listen]","limit":5000}
//   {"id":2,"error":"waited 5000 ms in vain for …","console":["error: …"],"text":"what the page shows"}
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import { launch } from './launch.mjs';
import { pause, Tab, within } from './tab.mjs';
import { Watch } from './watch.mjs';

/** Time limit for the browser to start and to end, in ms. */
const START_MS = 40_000;
const CLOSE_MS = 5_000;
/** Lines of the console and characters of the page that an error shows. */
const LINES_SHOWN = 30;
const TEXT_SHOWN = 1_500;
/** Violations that are told, and elements of each. */
const VIOLATIONS = 20;
const NODES = 3;

/** @type {import('puppeteer-core').Browser | undefined} */ let browser;
/** @type {Tab} */ let tab;
/** @type {import('puppeteer-core').Page | undefined} */ let front;
/** @type {import('node:http').Server[]} */ const servers = [];
const watch = new Watch();

/** @type {Record<string, (command: any) => Promise<any>>} */
const commands = {
  async start(wish) {
    browser = await within(launch(wish), START_MS, `${wish.browser} to start`);
    const page = (await browser.pages())[0] ?? (await browser.newPage());
    tab = await Tab.of(page, wish.browser === 'firefox');
    await watch.follow(page, tab.cdp);
    return { pid: browser.process()?.pid, version: await browser.version() };
  },
  open: ({ url, limit }) => tab.page.goto(url, { timeout: limit }).then(answer => answer?.status()),
  reload: ({ limit }) => tab.page.reload({ timeout: limit }).then(answer => answer?.status()),
  click: command => tab.click(command),
  type: command => tab.type(command),
  select: command => tab.select(command),
  /** A key, held for some time: {"key":"Space","ms":500}. */
  press: ({ key, ms = 0 }) => tab.page.keyboard.press(key, { delay: ms }),
  wait: ({ expression, limit, what }) => tab.wait(expression, limit, what),
  evaluate: ({ expression, limit }) => tab.evaluate(expression, limit),
  stats: ({ limit }) => tab.evaluate('(tribune.stats ?? tribune.room.stats).call(tribune.room)', limit),
  async hide({ limit }) {
    front ??= await tab.page.browser().newPage();
    await front.bringToFront();
    await tab.wait('document.visibilityState === "hidden"', limit, 'the tab to be hidden');
  },
  async show({ limit }) {
    await front?.close();
    front = undefined;
    await tab.page.bringToFront();
    await tab.wait('document.visibilityState === "visible"', limit, 'the tab to be seen');
  },
  async look({ width, height, scheme }) {
    if (width) await tab.page.setViewport({ width, height, deviceScaleFactor: 1 });
    // Firefox' preference cannot be changed while it runs; the page's own switch can.
    if (scheme && !tab.cdp) await tab.evaluate(`void (document.documentElement.dataset.theme = '${scheme}')`);
    else if (scheme) await tab.page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
    return tab.evaluate('[innerWidth, innerHeight, document.documentElement.scrollWidth]');
  },
  async screenshot({ path, limit }) {
    await within(tab.page.screenshot({ path }), limit, `a screenshot for ${path}`);
  },
  axe,
  /** A page of the test's own, on an origin of its own. */
  async serve({ html }) {
    const server = createServer((_, response) => response.setHeader('content-type', 'text/html').end(html));
    servers.push(server);
    await new Promise(resolve => server.listen(0, '127.0.0.1', () => resolve(undefined)));
    const address = /** @type {import('node:net').AddressInfo} */ (server.address());
    return `http://127.0.0.1:${address.port}/`;
  },
  origins: async () => [...watch.origins],
  bytes: async () => [...watch.bytes],
  console: async () => ({ lines: watch.lines.slice(-LINES_SHOWN), errors: watch.errors }),
};

/** Accessibility of the page as it is: the violations of WCAG 2.2 A and AA, and of what is good practice. */
async function axe() {
  const source = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
  await tab.evaluate(`(() => { ${source}; })()`, CLOSE_MS * 2);
  const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
  const wish = JSON.stringify({ runOnly: tags, resultTypes: ['violations'] });
  const { violations, passes } = await tab.evaluate(`(async () => {
    const { violations, passes } = await axe.run(document, ${wish});
    return { passes: passes.length, violations: violations.map(({ id, help, nodes }) => (
      { id, help, nodes: nodes.slice(0, ${NODES}).map(node => node.html.slice(0, 200) + ' ' + node.failureSummary) }
    )).slice(0, ${VIOLATIONS}) };
  })()`, START_MS);
  return { violations, passes };
}

/** What there is to see where something went wrong. */
async function scene() {
  const text = await tab?.evaluate('document.body?.innerText', 1_000).catch(() => 'the page does not answer');
  return { console: watch.lines.slice(-LINES_SHOWN), text: String(text ?? '').slice(0, TEXT_SHOWN) };
}

/** @param {string} line */
async function answer(line) {
  const command = JSON.parse(line);
  const { id } = command;
  try {
    const act = commands[command.do];
    if (!act) throw new Error(`no command is called ${command.do}`);
    return { id, value: (await act(command)) ?? null };
  } catch (error) {
    return { id, error: error instanceof Error ? error.message : String(error), ...(await scene()) };
  }
}

async function close() {
  servers.forEach(server => server.close());
  await within(browser?.close() ?? Promise.resolve(), CLOSE_MS, 'the browser to end').catch(() => {
    browser?.process()?.kill('SIGKILL');
  });
  // The last answer is still on its way through the pipe.
  await pause(0);
  process.exit();
}

for await (const line of createInterface({ input: process.stdin })) {
  if (line.trim()) process.stdout.write(`${JSON.stringify(await answer(line))}\n`);
}
await close();
