// The page of a running engine: what does it show?
// usage: TOLLBAR_URL='http://127.0.0.1:<port>/#token=<token>' node e2e/live.mjs [screenshot.png] [--watch]
// Prints one line of JSON {usd, exact}; with --watch another whenever the exact figure changes, until stdin closes.

import { openBrowser } from './chromium.mjs';

const SHOWN_MS_MAX = 20_000;
const LOOK_MS = 50;

const url = process.env.TOLLBAR_URL;
if (!url) {
  console.error('TOLLBAR_URL names no page\nhint: set it to the link that "tollbar dashboard" prints');
  process.exit(2);
}
const watching = process.argv.includes('--watch');
const picture = process.argv.slice(2).find((word) => !word.startsWith('--'));

const browser = await openBrowser();
try {
  const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
  const complaints = [];
  page.on('pageerror', (error) => complaints.push(String(error)));
  await page.goto(url);
  const figure = page.getByTestId('today-usd');
  await figure.waitFor({ timeout: SHOWN_MS_MAX });

  const read = () =>
    page.evaluate(() => {
      const shown = document.querySelector('[data-testid=today-usd]');
      return shown === null ? null : { usd: shown.textContent, exact: shown.getAttribute('data-exact') };
    });
  let last = await read();
  console.log(JSON.stringify(last));
  if (picture) await page.screenshot({ path: picture });

  if (watching) {
    let open = true;
    process.stdin.resume();
    process.stdin.on('end', () => (open = false));
    while (open) {
      const now = await read();
      if (now !== null && now.exact !== last.exact) {
        console.log(JSON.stringify(now));
        last = now;
      }
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }
  }
  if (complaints.length > 0) throw new Error(`the page failed: ${complaints.join('; ')}`);
} finally {
  await browser.close();
}
