// How long is a step on the rail of "What if", from the key to the painted number, on a running engine?
// usage: TOLLBAR_URL='http://127.0.0.1:<port>/#token=<token>' node e2e/step.mjs [month|last-month|90d|year] [screenshot.png]
// Prints one line of JSON, in milliseconds: the number and the picture (`painted`), and the tables too (`settled`).

import { openBrowser } from './chromium.mjs';

const STEPS = 24;
const ANSWER_MS_MAX = 20_000;

const url = process.env.TOLLBAR_URL;
if (!url) {
  console.error('TOLLBAR_URL names no page\nhint: set it to the link that "tollbar dashboard" prints');
  process.exit(2);
}
const [span = 'year', picture] = process.argv.slice(2);

const browser = await openBrowser();
try {
  const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
  page.setDefaultTimeout(ANSWER_MS_MAX);
  await page.goto(url);
  await page.getByTestId('today-usd').waitFor();
  await page.evaluate((params) => (location.hash = `what-if?span=${params}`), span);
  await page.getByTestId('now-usd').waitFor();
  const idle = () => page.waitForFunction(() => document.querySelectorAll('[aria-busy="true"]').length === 0 && document.querySelectorAll('[data-testid=stop]').length > 2);
  await idle();
  await page.waitForTimeout(1500);

  /** Presses a key in the page and waits there, frame by frame, for what it brings. */
  const step = (key) =>
    page.evaluate(async (name) => {
      const frame = () => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve, 0)));
      const began = performance.now();
      document.activeElement.dispatchEvent(new KeyboardEvent('keydown', { key: name, bubbles: true, cancelable: true }));
      const wanted = () => document.querySelector('[data-testid=stop]:has(:checked)').dataset.model;
      const totals = () => document.querySelector('[data-testid=totals]');
      do await frame();
      while (totals().dataset.to !== wanted() || totals().getAttribute('aria-busy') === 'true');
      const painted = performance.now() - began;
      while (document.querySelectorAll('[aria-busy="true"]').length > 0) await frame();
      return { model: wanted(), painted, settled: performance.now() - began };
    }, key);

  await page.locator('[data-testid=stop] input').first().focus();
  const stops = (await page.getByTestId('stop').count()) - 1;
  const steps = [];
  for (let index = 0; index < STEPS; index += 1) {
    steps.push(await step(Math.floor(index / stops) % 2 === 0 ? 'ArrowDown' : 'ArrowUp'));
    await page.waitForTimeout(60);
  }
  const figures = (of) => {
    const sorted = steps.map((one) => one[of]).sort((one, other) => one - other);
    return { median: Math.round(sorted[sorted.length >> 1]), max: Math.round(sorted.at(-1)) };
  };
  const calls = await page.evaluate(() => /([\d,]+)\s+calls?/.exec(document.querySelector('[aria-labelledby=then]').innerText)?.[1]);
  console.log(JSON.stringify({ span, calls, steps: steps.length, painted_ms: figures('painted'), settled_ms: figures('settled') }));
  if (picture) await page.screenshot({ path: picture });
} finally {
  await browser.close();
}
