// What the checks of all pages share: a browser, a stand-in for each check, pictures, and axe.

import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openBrowser } from './chromium.mjs';
import { answers } from './fixtures.mjs';
import { startStandIn } from './standin.mjs';

const UI = dirname(dirname(fileURLToPath(import.meta.url)));
const DIST = join(UI, 'dist');
const PICTURES = process.env.TOLLBAR_PICTURES ?? join(UI, 'test-results');
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const WAIT_MS_MAX = 8000;

mkdirSync(PICTURES, { recursive: true });
export const browser = await openBrowser();
let failed = 0;

/** `node e2e/what-if.mjs dark` runs the checks whose name has that in it. */
const only = process.argv[2] ?? '';

/** One check in its own page. */
export async function check(name, mood, run, look = {}) {
  if (!name.includes(only)) return;
  const standIn = await startStandIn(DIST, answers(mood));
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...look });
  const page = await context.newPage();
  page.setDefaultTimeout(WAIT_MS_MAX);
  const complaints = [];
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('console', (line) => {
    // The browser itself reports refused requests; the page must not.
    if (line.type() === 'error' && !line.text().startsWith('Failed to load resource')) complaints.push(line.text());
  });
  try {
    await run({ page, standIn, open: () => page.goto(standIn.link), get: (id) => page.getByTestId(id) });
    assert.deepEqual(complaints, [], 'the page complains');
    console.log(`ok    ${name}`);
  } catch (reason) {
    failed += 1;
    console.log(`FAIL  ${name}\n${reason instanceof Error ? reason.stack : reason}`);
    await page.screenshot({ path: join(PICTURES, `failed-${name.replaceAll(/\W+/g, '-')}.png`) }).catch(() => undefined);
  } finally {
    await context.close();
    await standIn.stop();
  }
}

export const until = async (what, test) => {
  const end = Date.now() + WAIT_MS_MAX;
  for (;;) {
    const value = await test();
    if (value) return value;
    if (Date.now() > end) assert.fail(`never: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
};
export const picture = (page, name) => page.screenshot({ path: join(PICTURES, `${name}.png`) });

/** WCAG A and AA, contrast included, by axe. */
export async function accessible(page) {
  // By evaluation, which the page's own policy does not forbid.
  await page.evaluate(AXE);
  const violations = await page.evaluate(async () => {
    const result = await globalThis.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice'] });
    return result.violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => `${node.target} ${node.any[0]?.message ?? ''}`).join(' | ')}`);
  });
  assert.deepEqual(violations, []);
}

/** Nothing may be wider than the window. */
export async function withinItsWindow(page) {
  const within = await page.evaluate(() => {
    const main = document.querySelector('main');
    return document.documentElement.scrollWidth <= innerWidth && main.scrollWidth <= main.clientWidth;
  });
  assert.ok(within, 'it scrolls sideways');
}

export function needsTheBuiltPage() {
  assert.ok(existsSync(join(DIST, 'index.html')), 'no ui/dist: run "npm run build" first');
}

export async function conclude() {
  await browser.close();
  console.log(`pictures in ${PICTURES}`);
  process.exit(failed === 0 ? 0 : 1);
}
