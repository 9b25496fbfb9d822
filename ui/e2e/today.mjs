// Drives the built page in Chromium against a stand-in of the engine, and takes pictures of every state.
// With TOLLBAR_URL it runs the checks that hold for any data against a real engine instead.

import assert from 'node:assert/strict';
import { answers, call, usd } from './fixtures.mjs';
import { accessible, browser, check, conclude, needsTheBuiltPage, picture, until, withinItsWindow } from './harness.mjs';

async function holdsForAnyData(page, url) {
  await page.goto(url);
  const figure = page.getByTestId('today-usd');
  await figure.waitFor();
  assert.match(await figure.textContent(), /^[−<]*\$[\d,]+\.\d{2,4}$/);
  assert.match(await figure.getAttribute('data-exact'), /^-?\d+\.\d{12}$/);
  assert.equal(await page.evaluate(() => location.href.includes('token')), false, 'the token stays in the address bar');
  await until('connected', async () => (await page.getByTestId('connection').getAttribute('data-state')) === 'connected');
  await accessible(page);
}

if (process.env.TOLLBAR_URL) {
  const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
  await holdsForAnyData(page, process.env.TOLLBAR_URL);
  await picture(page, 'real');
  console.log('ok    the page of the real engine');
  await browser.close();
  process.exit(0);
}
needsTheBuiltPage();

await check('the figures of the answers are shown', 'busy', async ({ page, get, standIn }) => {
  await holdsForAnyData(page, standIn.link);
  assert.equal(await get('today-usd').textContent(), '$14.27');
  assert.equal(await get('today-usd').getAttribute('data-exact'), '14.270000000000');
  assert.equal(await page.title(), '$14.27 today · Tollbar');
  assert.equal(await get('model-row').count(), 7);
  assert.match((await get('model-row').nth(0).innerText()).replaceAll(/\s+/g, ' '), /claude-opus-5-5 201 21 M \/ 98 k 94 % \$7\.91/);
  assert.match(await get('model-row').nth(5).innerText(), /2 unpriced/);
  assert.doesNotMatch(await get('model-row').nth(5).innerText(), /\$0/, 'an unpriced model costs no silent zero');
  assert.match(await get('model-row').nth(6).innerText(), /unknown model[^]*1 unknown/);
  assert.equal(await get('project-row').count(), 4);
  assert.match(await get('project-row').nth(3).innerText(), /no project[^]*2 unpriced[^]*1 unknown[^]*\$0\.0525/);
  assert.equal(await get('call-row').count(), 30);
  assert.match(await get('call-row').nth(5).innerText(), /estimated[^]*4\.2\sk \/ ~900[^]*~\$0\.0174[^]*proxy/);
  assert.match(await get('call-row').nth(8).innerText(), /unpriced[^]*unpriced[^]*proxy/);
  assert.match(await get('call-row').nth(9).innerText(), /partial[^]*≥\s\$0\.0052/);
  assert.match(await get('call-row').nth(10).innerText(), /unknown model[^]*unknown[^]*502[^]*tokens unknown[^]*unknown/);
  assert.match(await get('call-row').nth(0).innerText(), /proxy log · 18:42/);
  assert.match(await get('budget-row').nth(0).innerText(), /Month, everything[^]*\$332\.85 of 400[^]*crosses \$400 on Thu 26th[^]*\+ 12 unpriced/);
  assert.match(await get('budget-row').nth(2).innerText(), /over by \$0\.91/);
  assert.match(await get('connection').innerText(), /Recording/);
  await picture(page, 'today-light');
});

await check('a change shows by itself, and only once for many changes', 'busy', async ({ page, get, standIn, open }) => {
  await open();
  await get('today-usd').waitFor();
  await until('watching', async () => (await get('connection').getAttribute('data-state')) === 'connected');
  const before = standIn.engine.asked;
  const { todayAfter, recent } = standIn.engine.answers;
  standIn.engine.answers.today = () => todayAfter(93_400);
  const later = recent();
  later.calls.unshift(call({ key: 'f'.repeat(32), project: 'fresh' }));
  standIn.engine.answers.recent = () => later;
  for (let seq = 1; seq <= 200; seq += 1) standIn.changed(seq);
  await until('the new figure', async () => (await get('today-usd').getAttribute('data-exact')) === usd(14_363_400));
  assert.equal(await get('today-usd').textContent(), '$14.36');
  assert.match(await get('call-row').nth(0).innerText(), /fresh/);
  await page.waitForTimeout(900);
  assert.ok(standIn.engine.asked - before <= 4 * 7, `asked ${standIn.engine.asked - before} times for one burst`);
});

await check('everything is reached by keyboard', 'busy', async ({ page, get, open }) => {
  await open();
  await get('call-row').first().waitFor();
  const reached = [];
  for (let presses = 0; presses < 10; presses += 1) {
    await page.keyboard.press('Tab');
    reached.push(await page.evaluate(() => {
      const at = document.activeElement;
      const outline = getComputedStyle(at).outlineStyle;
      return `${at.tagName} ${at.getAttribute('aria-label') ?? at.textContent.trim().slice(0, 30)} ${outline}`;
    }));
  }
  const way = reached.join('\n');
  for (const stop of [/A Today solid/, /BUTTON 00:00|BUTTON 23:00/, /BUTTON Add a budget solid/, /BUTTON Month, everything/, /BUTTON Sun 22 Nov: \$14\.27/, /UL /]) assert.match(way, stop);
  assert.doesNotMatch(way, / none$/m, 'focus is visible');

  const last = page.getByRole('button', { name: /^Sun 22 Nov: / });
  await last.focus();
  await page.keyboard.press('ArrowLeft');
  assert.match(await get('note').innerText(), /Sat 21 Nov/);
  await page.keyboard.press('PageUp');
  await page.keyboard.press('ArrowLeft');
  await page.keyboard.press('ArrowLeft');
  await page.keyboard.press('ArrowLeft');
  assert.match(await get('note').innerText(), /Wed 11 Nov/);
  assert.match(await page.evaluate(() => document.activeElement.getAttribute('aria-label')), /^Wed 11 Nov: \$/);
  await page.keyboard.press('ArrowLeft');
  assert.match(await get('note').innerText(), /Tue 10 Nov[^]*no calls/);
  await page.keyboard.press('ArrowRight');
  await picture(page, 'chart-note');
  await page.keyboard.press('Escape');
  assert.equal(await get('note').count(), 0);
});

await check('a budget is set, refused, changed and removed', 'empty', async ({ page, standIn, get, open }) => {
  const { engine } = standIn;
  await open();
  await page.getByRole('button', { name: 'Set a budget' }).click();
  const dialog = page.getByRole('dialog', { name: 'Set a budget' });
  await dialog.waitFor();
  await accessible(page);
  await picture(page, 'budget-dialog');
  assert.equal(await page.evaluate(() => document.activeElement.getAttribute('name')), 'limit');

  engine.onTell = () => ({ code: 'refused', message: 'a limit must be above zero: "0"', hint: 'write it like 12.50' });
  await page.keyboard.type('0');
  await page.keyboard.press('Enter');
  await dialog.getByRole('alert').waitFor();
  assert.match(await dialog.getByRole('alert').innerText(), /a limit must be above zero[^]*write it like 12\.50/);

  engine.onTell = (command) => {
    engine.answers.budgets = () => ({ budgets: command.command === 'remove_budget' ? [] : [{ ...answers('busy').budgets().budgets[0], budget: { ...command, limit: '12.500000000000' } }] });
    return null;
  };
  await dialog.getByLabel('Limit').fill('12.50');
  await dialog.getByRole('radio', { name: 'Week' }).check();
  await dialog.getByLabel('Project').fill('billing-api');
  await dialog.getByRole('button', { name: 'Set budget' }).click();
  await get('budget-row').waitFor();
  assert.deepEqual(engine.told, [
    { command: 'set_budget', name: 'week-billing-api', period: 'week', limit: '12.50', scope: { project: 'billing-api', model: null, provider: null, device: null }, alert_percents: [80, 100] },
  ]);
  assert.equal(await dialog.count(), 0);

  await get('budget-row').getByRole('button').click();
  const change = page.getByRole('dialog', { name: 'Change the budget' });
  assert.equal(await change.getByLabel('Limit').inputValue(), '12.50');
  assert.equal(await change.getByLabel('Project').inputValue(), 'billing-api');
  await page.keyboard.press('Escape');
  assert.equal(await change.count(), 0, 'Escape closes the dialog');
  await get('budget-row').getByRole('button').click();
  await change.getByRole('button', { name: 'Remove…' }).click();
  await change.getByRole('button', { name: 'Yes, remove it' }).click();
  await page.getByRole('button', { name: 'Set a budget' }).waitFor();
  assert.deepEqual(engine.told.at(-1), { command: 'remove_budget', name: 'week-billing-api' });
});

await check('the first run says how to begin', 'empty', async ({ page, get, open }) => {
  await open();
  await get('first-run').waitFor();
  assert.equal(await get('today-usd').textContent(), '$0.00');
  const text = await get('first-run').innerText();
  for (const line of ['ANTHROPIC_BASE_URL=http://127.0.0.1:8655/anthropic', 'OPENAI_BASE_URL=http://127.0.0.1:8655/openai/v1', 'tollbar import --client claude-code']) assert.ok(text.includes(line), line);
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
  await page.getByRole('button', { name: 'Copy the command' }).click();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), 'tollbar import --client claude-code');
  await accessible(page);
  await page.mouse.move(0, 0);
  await picture(page, 'first-run');
});

await check('a day without calls is no first run', 'quiet', async ({ page, get, open }) => {
  await open();
  await get('today-usd').waitFor();
  assert.equal(await get('first-run').count(), 0);
  assert.equal(await page.getByText('No calls yet today.').count(), 2);
  await accessible(page);
  await picture(page, 'quiet');
});

await check('one answer that fails leaves the others standing', 'busy', async ({ page, standIn, get, open }) => {
  const fault = { code: 'storage', message: 'the log cannot be read: disk error', hint: 'run "tollbar doctor"' };
  standIn.engine.faults = { spend_by: fault, budgets: fault, recent: fault };
  standIn.engine.answers.health = () => {
    const health = answers('busy').health();
    health.engine.warnings = ['the proxy carried 3 calls to openrouter that it could not read'];
    health.engine.proxy.unobserved = 3;
    health.mended = ['2 entries were taken from the journal again'];
    return health;
  };
  await open();
  await get('today-usd').waitFor();
  await until('the faults', async () => (await get('failed').count()) === 3);
  assert.match(await get('failed').first().innerText(), /the budgets could not be read: the log cannot be read: disk error[^]*tollbar doctor/);
  assert.match(await get('notices').innerText(), /could not read[^]*Mended/);
  await accessible(page);
  await picture(page, 'partial');
});

await check('an engine that ends is missed, and found again', 'busy', async ({ page, standIn, get, open }) => {
  await open();
  await get('today-usd').waitFor();
  await until('connected', async () => (await get('connection').getAttribute('data-state')) === 'connected');
  await standIn.stop();
  await until('lost', async () => (await get('connection').getAttribute('data-state')) === 'lost');
  assert.match(await get('connection').innerText(), /Not connected/);
  assert.match(await get('notices').innerText(), /these figures are of 18:42/);
  assert.equal(await get('today-usd').textContent(), '$14.27', 'the last figures stay');
  await accessible(page);
  await picture(page, 'lost');
  const { todayAfter } = standIn.engine.answers;
  standIn.engine.answers.today = () => todayAfter(1_000_000);
  await standIn.again();
  await until('the figure after the break', async () => (await get('today-usd').textContent()) === '$15.27');
  assert.equal(await get('notices').count(), 0);
});

await check('a stale link says so, and a fresh one mends it', 'busy', async ({ page, standIn, get, open }) => {
  standIn.engine.token = 'another';
  await open();
  await get('trouble').waitFor();
  assert.match(await get('trouble').innerText(), /This link is stale[^]*tollbar dashboard/);
  await accessible(page);
  await picture(page, 'stale');
  await page.evaluate(() => (location.hash = '#token=another'));
  await get('today-usd').waitFor();
});

await check('no answer at all is an error with a way out', 'busy', async ({ page, standIn, get, open }) => {
  standIn.engine.faults = { today: { code: 'storage', message: 'cannot open the log: another tollbar holds it (pid 4711)', hint: 'run "tollbar status", or stop it with "tollbar stop"' } };
  await open();
  await get('trouble').waitFor();
  await accessible(page);
  await picture(page, 'error');
  standIn.engine.faults = {};
  await page.getByRole('button', { name: 'Try again' }).click();
  await get('today-usd').waitFor();
});

await check('what is on its way has its place', 'busy', async ({ page, standIn, get, open }) => {
  let answer = () => {};
  standIn.engine.hold = new Promise((resolve) => (answer = resolve));
  await open();
  await get('loading').waitFor();
  await page.waitForTimeout(400);
  await picture(page, 'loading');
  answer();
  await get('today-usd').waitFor();
});

const LOOKS = [
  ['today-dark', 1280, 800, 'dark'],
  ['today-900', 900, 640, 'light'],
  ['today-1600', 1600, 1000, 'light'],
  ['today-narrow', 390, 844, 'dark'],
];
for (const [name, width, height, colorScheme] of LOOKS) {
  await check(`${name} stands within its window`, 'busy', async ({ page, get, open }) => {
    await open();
    await get('call-row').first().waitFor();
    await withinItsWindow(page);
    await accessible(page);
    await picture(page, name);
    if (width < 1000) {
      const whole = await page.evaluate(() => document.querySelector('main').scrollHeight + 120);
      await page.setViewportSize({ width, height: whole });
      await page.waitForTimeout(100);
      await picture(page, `${name}-whole`);
    }
  }, { viewport: { width, height }, colorScheme, reducedMotion: 'reduce' });
}

await check('dark dialogs and empty pages too', 'empty', async ({ page, open }) => {
  await open();
  await page.getByRole('button', { name: 'Set a budget' }).click();
  await accessible(page);
  await picture(page, 'budget-dialog-dark');
}, { colorScheme: 'dark' });

await conclude();
