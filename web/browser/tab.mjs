// @ts-check
// One tab: what a person does there, and what a test asks of it. puppeteer's own `evaluate` and `click` count as
// a gesture of the person, after which sound may start; nothing here does, but a click and a key.

/** @typedef {import('puppeteer-core').Page} Page */

/** Period at which a condition is asked for again, in ms. */
const POLL_MS = 50;
/** Time that the last question of a wait has, in ms. */
const LAST_MS = 1_000;
/** Time limit of one question to the page, in ms. */
const ASK_MS = 10_000;

/** Turns what a page says into text: 64-bit numbers as decimals, maps as lists of pairs. */
const AS_TEXT = `(key, value) => typeof value === 'bigint' ? String(value)
  : value instanceof Map ? [...value] : value instanceof Error ? String(value) : value`;

/** @param {number} ms */
export const pause = ms => new Promise(resolve => setTimeout(resolve, ms));

/**
 * @template T
 * @param {Promise<T>} promise
 * @param {number} ms
 * @param {string} what
 * @returns {Promise<T>}
 */
export function within(promise, ms, what) {
  /** @type {NodeJS.Timeout} */ let timer;
  const end = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${ms} ms in vain for ${what}`)), ms);
  });
  return Promise.race([promise, /** @type {Promise<never>} */ (end)]).finally(() => clearTimeout(timer));
}

/** A question to the page that is no gesture. */
export class Tab {
  /** @param {Page} page @param {any} cdp the page's session in Chromium, absent in Firefox */
  constructor(page, cdp) {
    this.page = page;
    this.cdp = cdp;
  }

  /** @param {Page} page @param {boolean} isFirefox */
  static async of(page, isFirefox) {
    return new Tab(page, isFirefox ? undefined : await page.createCDPSession());
  }

  /**
   * The value of an expression in the page, promises awaited.
   * @param {string} expression @param {number} [limit] in ms
   */
  async evaluate(expression, limit = ASK_MS) {
    const asked = `(async () => JSON.stringify(await (${expression}), ${AS_TEXT}))()`;
    const answer = this.cdp ? this.#askChromium(asked) : this.#askFirefox(asked);
    const text = await within(answer, limit, `an answer of the page to: ${expression.slice(0, 200)}`);
    return text === undefined ? null : JSON.parse(text);
  }

  /** @param {string} expression */
  async #askChromium(expression) {
    const { result, exceptionDetails } = await this.cdp.send('Runtime.evaluate', {
      expression, awaitPromise: true, returnByValue: true, userGesture: false,
    });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  }

  /** @param {string} expression */
  async #askFirefox(expression) {
    const { connection } = /** @type {any} */ (this.page.browser());
    const context = /** @type {any} */ (this.page.mainFrame())._id;
    const { result } = await connection.send('script.evaluate', {
      expression, target: { context }, awaitPromise: true, userActivation: false,
    });
    if (result.type === 'exception') throw new Error(result.exceptionDetails.text);
    return result.result.value;
  }

  /**
   * Waits until the expression is true, and gives its value. A page that is being left, or that lacks what is
   * asked for, has not got there yet.
   * @param {string} expression @param {number} limit in ms @param {string} [what]
   */
  async wait(expression, limit, what = expression) {
    const deadline = Date.now() + limit;
    for (let last = 'nothing'; ;) {
      try {
        const value = await this.evaluate(expression, Math.max(LAST_MS, deadline - Date.now()));
        if (value) return value;
        last = JSON.stringify(value);
      } catch (error) {
        last = error instanceof Error ? error.message : String(error);
      }
      if (Date.now() > deadline) throw new Error(`waited ${limit} ms in vain for ${what}; last: ${last}`);
      await pause(POLL_MS);
    }
  }

  /**
   * Where the element is, once it can be seen and is not covered.
   * @param {string} target CSS selector @param {string | undefined} text it has in it @param {number} limit in ms
   */
  locate(target, text, limit) {
    const what = `${target}${text ? ` with "${text}"` : ''} to be seen and free`;
    return this.wait(`(${place})(${JSON.stringify(target)}, ${JSON.stringify(text ?? '')})`, limit, what);
  }

  /** @param {{target: string, text?: string, limit: number}} wish */
  async click({ target, text, limit }) {
    const { x, y } = await this.locate(target, text, limit);
    await within(this.page.mouse.click(x, y), limit, `a click on ${target}`);
  }

  /** Writes in a field, in place of what is there. @param {{target: string, text: string, limit: number}} wish */
  async type({ target, text, limit }) {
    await this.click({ target, limit });
    await this.evaluate(`document.querySelector(${JSON.stringify(target)}).select()`);
    await this.page.keyboard.press('Backspace');
    await within(this.page.keyboard.type(text), limit, `typing into ${target}`);
  }

  /** Chooses from a list by value or by words. @param {{target: string, value: string, limit: number}} wish */
  async select({ target, value, limit }) {
    await this.locate(target, undefined, limit);
    const chosen = await this.evaluate(`(${choose})(${JSON.stringify(target)}, ${JSON.stringify(value)})`);
    if (!chosen) throw new Error(`${target} has no ${value}`);
  }
}

/* c8 ignore start: these run in the page. */
/** @param {string} target @param {string} text */
function place(target, text) {
  for (const element of document.querySelectorAll(target)) {
    if (!element.textContent?.includes(text) || /** @type {any} */ (element).disabled) continue;
    const visible = element.checkVisibility({ visibilityProperty: true, opacityProperty: true });
    if (!visible || element.closest('[inert]')) continue;
    element.scrollIntoView({ block: 'center', inline: 'center', behavior: 'instant' });
    const { x, y, width, height } = element.getBoundingClientRect();
    const middle = { x: x + width / 2, y: y + height / 2 };
    const hit = document.elementFromPoint(middle.x, middle.y);
    const label = hit?.closest('label');
    if (hit && (element.contains(hit) || hit.contains(element) || label?.control === element)) return middle;
  }
  return null;
}

/** @param {string} target @param {string} value */
function choose(target, value) {
  const list = /** @type {HTMLSelectElement} */ (document.querySelector(target));
  const option = [...list.options].find(each => each.value === value || each.text === value);
  if (!option) return false;
  list.value = option.value;
  list.dispatchEvent(new Event('input', { bubbles: true }));
  list.dispatchEvent(new Event('change', { bubbles: true }));
  return true;
}
/* c8 ignore stop */
