// @ts-check
// Starting the browsers of this system, with nothing left over from another run and nothing asked of anybody
// on the network.
import puppeteer from 'puppeteer-core';

/**
 * @typedef {object} Wish
 * @property {'chromium' | 'firefox'} browser
 * @property {string} executable path of the browser
 * @property {string} [microphone] a WAV file that the microphone plays; Chromium only
 * @property {boolean} [loop] whether it plays the file again and again
 * @property {boolean} [denied] whether a page that asks for the microphone is refused
 * @property {boolean} [plain] whether it is without WebTransport
 * @property {string[]} [args] more arguments
 */

/**
 * What puppeteer adds by itself and a listener's browser does not have: muted sound, and tabs that run on as
 * if they were in front.
 */
const NOT_LIKE_A_LISTENER = [
  '--mute-audio',
  '--disable-background-timer-throttling',
  '--disable-backgrounding-occluded-windows',
  '--disable-renderer-backgrounding',
];

const CHROMIUM = [
  // The tests may run as root, in a container.
  '--no-sandbox',
  '--disable-gpu',
  '--disable-domain-reliability',
  '--disable-component-update',
  '--no-pings',
  '--lang=en-GB',
];

/** Preferences that keep Firefox from talking to its maker, and let a page have a microphone. */
const FIREFOX = {
  'app.normandy.enabled': false,
  'browser.safebrowsing.malware.enabled': false,
  'browser.safebrowsing.phishing.enabled': false,
  'datareporting.policy.dataSubmissionEnabled': false,
  'extensions.update.enabled': false,
  'intl.accept_languages': 'en-GB, en',
  'media.navigator.streams.fake': true,
  'network.captive-portal-service.enabled': false,
  'network.connectivity-service.enabled': false,
  'toolkit.telemetry.enabled': false,
  // As for people: sound needs a gesture.
  'media.autoplay.block-webaudio': true,
  'media.autoplay.default': 1,
  'media.autoplay.blocking_policy': 0,
};

/** @param {Wish} wish */
export function launch(wish) {
  return wish.browser === 'firefox' ? launchFirefox(wish) : launchChromium(wish);
}

/** @param {Wish} wish */
function launchChromium({ executable, microphone, loop, denied, plain, args = [] }) {
  const more = ['--use-fake-device-for-media-stream'];
  if (microphone) {
    more.push(`--use-file-for-fake-audio-capture=${microphone}${loop ? '' : '%noloop'}`);
  }
  more.push(denied ? '--deny-permission-prompts' : '--use-fake-ui-for-media-stream');
  if (plain) more.push('--disable-blink-features=WebTransport');
  return puppeteer.launch({
    executablePath: executable,
    headless: true,
    // It ends with the pipe: even if this process is killed, no browser stays behind.
    pipe: true,
    args: [...CHROMIUM, ...more, ...args],
    ignoreDefaultArgs: NOT_LIKE_A_LISTENER,
    defaultViewport: { width: 1280, height: 800 },
  });
}

/** @param {Wish} wish */
function launchFirefox({ executable, denied, plain, args = [] }) {
  return puppeteer.launch({
    browser: 'firefox',
    executablePath: executable,
    headless: true,
    protocol: 'webDriverBiDi',
    args,
    extraPrefsFirefox: {
      ...FIREFOX,
      // Not by a permission of the page: with one, sound would need no gesture.
      'media.navigator.permission.disabled': !denied,
      'network.webtransport.enabled': !plain,
      'permissions.default.microphone': denied ? 2 : 0,
    },
    defaultViewport: { width: 1280, height: 800 },
  });
}
