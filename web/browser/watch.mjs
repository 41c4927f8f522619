// @ts-check
// What a browser says and where it turns to, while it is driven.

/** Lines of the console that are kept; the oldest go first. */
const LINES = 200;
/** Characters of a line that are kept. */
const LINE_CHARACTERS = 500;

/** Console, errors, requests and bytes of one browser's pages. */
export class Watch {
  /** @type {string[]} */ lines = [];
  /** @type {string[]} */ errors = [];
  /** Origins that anything was asked of, with the first address that was. @type {Map<string, string>} */
  origins = new Map();
  /** Bytes of the bodies by path, as they were served. @type {Map<string, number>} */
  bytes = new Map();

  /** @param {import('puppeteer-core').Page} page @param {any} [cdp] */
  async follow(page, cdp) {
    page.on('console', message => {
      this.#note(`${message.type()}: ${message.text()}`);
      if (message.type() === 'error') this.#fail(message.text());
    });
    page.on('pageerror', error => this.#fail(error instanceof Error ? error.stack ?? error.message : String(error)));
    page.on('request', request => this.#ask(request.url()));
    page.on('requestfailed', request => this.#note(`failed: ${request.url()} ${request.failure()?.errorText}`));
    page.on('response', response => this.#weigh(response));
    if (!cdp) return;
    await this.#followConnections(cdp);
    page.on('workercreated', worker => {
      // The worker may be gone again.
      this.#followConnections(worker.client).catch(() => {});
    });
  }

  /** Connections that are no requests for a file. @param {any} cdp */
  async #followConnections(cdp) {
    cdp.on('Network.webTransportCreated', (/** @type {{url: string}} */ { url }) => this.#ask(url));
    cdp.on('Network.webSocketCreated', (/** @type {{url: string}} */ { url }) => this.#ask(url));
    await cdp.send('Network.enable');
  }

  /** @param {string} url */
  #ask(url) {
    const { origin, protocol } = new URL(url);
    // What a page makes itself comes from nowhere; about: is the empty tab.
    if (['data:', 'blob:', 'about:'].includes(protocol)) return;
    if (!this.origins.has(origin)) this.origins.set(origin, url);
  }

  /** @param {import('puppeteer-core').HTTPResponse} response */
  async #weigh(response) {
    const length = Number(response.headers()['content-length'] ?? NaN);
    if (response.status() !== 304) this.bytes.set(new URL(response.url()).pathname, length);
    if (response.status() >= 400) this.#note(`${response.status()}: ${response.url()}`);
  }

  /** @param {string} text */
  #fail(text) {
    this.errors.push(text.slice(0, LINE_CHARACTERS));
    this.errors.splice(0, this.errors.length - LINES);
    this.#note(`error: ${text}`);
  }

  /** @param {string} text */
  #note(text) {
    this.lines.push(text.slice(0, LINE_CHARACTERS));
    this.lines.splice(0, this.lines.length - LINES);
  }
}
