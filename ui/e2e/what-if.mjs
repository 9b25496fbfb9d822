// Drives the page "What if" against a stand-in of the engine.

import assert from 'node:assert/strict';
import { answers, usd } from './fixtures.mjs';
import { accessible, check, conclude, needsTheBuiltPage, picture, until, withinItsWindow } from './harness.mjs';

needsTheBuiltPage();

/** Opens the page, perhaps set already, and waits for its number. */
async function openPage({ page, standIn, get, open }, params = '') {
  await open();
  await page.evaluate((hash) => (location.hash = hash), `what-if${params}`);
  await get('now-usd').waitFor();
  await settled(page);
  return standIn;
}
const settled = (page) => until('all answers are there', () => page.evaluate(() => document.querySelectorAll('[aria-busy="true"]').length === 0));
const stop = (page, model) => page.locator(`[data-testid=stop][data-model='${model}']`);
const shown = async (get) => get('totals').getAttribute('data-to');

await check('the arrow keys go from model to model, and all follows', 'busy', async (at) => {
  const { page, get, standIn } = at;
  await openPage(at);
  assert.equal(await get('now-usd').getAttribute('data-exact'), await get('then-usd').getAttribute('data-exact'), 'nothing is supposed at first');
  await accessible(page);
  await picture(page, 'what-if-begin');

  await page.getByRole('radio', { name: 'the same model' }).focus();
  const seen = [];
  for (let step = 0; step < 4; step += 1) {
    await page.keyboard.press('ArrowDown');
    await until('the number follows', async () => (await shown(get)) === (await page.evaluate(() => document.activeElement.closest('label').dataset.model)));
    await settled(page);
    seen.push([await shown(get), await get('now-usd').textContent()]);
  }
  assert.deepEqual(seen.map(([model]) => model), ['gpt-6-astra', 'claude-fable-5-2', 'claude-opus-5-5', 'gpt-6-sol'].slice(0, 4));
  const question = standIn.engine.questions.reprice.at(-1);
  assert.deepEqual(question.models, [{ from: 'claude-opus-5-5', to: 'gpt-6-sol', provider: null }]);
  assert.equal(question.first, '2026-11-01');
  assert.match(await page.evaluate(() => location.hash), /^#what-if\?to=gpt-6-sol$/);
  await page.keyboard.press('End');
  await until('the cheapest', async () => (await shown(get)) === 'gpt-6-luna');
  await page.keyboard.press('ArrowDown');
  assert.equal(await page.evaluate(() => document.activeElement.closest('label').dataset.model), 'gpt-6-luna', 'the rail has two ends');
  await page.keyboard.press('Home');
  await until('the beginning', async () => (await shown(get)) === '');
});

await check('a hand that drags never queues', 'busy', async (at) => {
  const { page, get, standIn } = at;
  await openPage(at);
  const { engine } = standIn;
  let answer = () => {};
  engine.hold = new Promise((resolve) => (answer = resolve));
  const before = engine.questions.reprice.length;
  const stops = await get('stop').all();
  const [first, last] = [await stops[0].boundingBox(), await stops.at(-1).boundingBox()];
  await page.mouse.move(first.x + 60, first.y + 10);
  await page.mouse.down();
  await page.mouse.move(last.x + 60, last.y - 20, { steps: 40 });
  await page.mouse.up();
  assert.equal(engine.questions.reprice.length, before + 1, 'one question, however many stops were passed');
  const wanted = await page.evaluate(() => document.querySelector('[data-testid=stop]:has(:checked)').dataset.model);
  assert.notEqual(wanted, '');
  assert.equal(await page.evaluate(() => document.querySelector('[data-testid=totals]').classList.contains('dim')), true, 'what is shown is of before, and says so');
  assert.equal(await shown(get), '');
  await page.waitForTimeout(200);
  await picture(page, 'what-if-dragging');
  engine.hold = null;
  answer();
  await until('the last stop', async () => (await shown(get)) === wanted);
  await settled(page);
  const models = engine.questions.reprice.slice(before).map((question) => question.models[0]?.to);
  assert.equal(new Set(models).size <= 2, true, `asked for ${models}`);
});

await check('the page says what it supposes, leaves out and takes for granted', 'busy', async (at) => {
  const { page, get, standIn } = at;
  await openPage(at, '?to=claude-sonnet-5-5');
  assert.match(await get('totals').innerText(), /claude-opus-5-5 → claude-sonnet-5-5/);
  assert.match(await get('totals').innerText(), /less[^]*% of what it was/);
  assert.match(await get('left-out').innerText(), /lack a price then or there/);
  assert.match(await get('assumption').first().innerText(), /the same tokens/);
  assert.equal(await get('project-difference').count(), 4);
  assert.match(await get('model-difference').first().innerText(), /claude-opus-5-5[^]*−\$/);
  assert.match(await get('model-difference').last().innerText(), /unpriced/);
  await accessible(page);
  await picture(page, 'what-if-light');
  await page.getByText('The prices that made it').click();
  await page.getByText('$4 / $20', { exact: true }).first().waitFor();

  await page.getByLabel('everything by batch').check();
  await page.getByRole('radio', { name: '5 min' }).check();
  await page.getByRole('radio', { name: 'a day' }).check();
  await page.getByLabel('The day whose prices count').fill('2026-10-01');
  await until('all of it is asked', () => {
    const { as_of, tier, cache_ttl } = standIn.engine.questions.reprice.at(-1);
    return as_of.instant === '2026-10-01T12:00:00Z' && tier === 'batch' && cache_ttl === '5m';
  });
  await until('and said', async () => /by batch, caches written for 5 minutes, at the prices of 1 Oct 2026/.test(await get('totals').innerText()));
  assert.match(await page.evaluate(() => location.hash), /prices=2026-10-01/);
  await page.getByLabel('Project', { exact: true }).selectOption('tollbar');
  await until('of one project', () => standIn.engine.questions.reprice.at(-1).filter.project === 'tollbar');
  await page.getByLabel('Calls of').selectOption('every model');
  await until('of every model', () => standIn.engine.questions.reprice.at(-1).models[0].from === null);
  await page.getByRole('combobox', { name: 'Another model' }).fill('gpt-6.1-terra');
  await page.keyboard.press('Enter');
  await until('a model that was typed', async () => (await shown(get)) === 'gpt-6.1-terra');
  await settled(page);
});

await check('an idea is looked at in full', 'busy', async (at) => {
  const { page, get } = at;
  await openPage(at);
  await page.getByRole('button', { name: 'Compare' }).click();
  await get('idea').first().waitFor();
  assert.equal(await get('idea').count(), 3, 'what costs more is no idea');
  await picture(page, 'what-if-ideas');
  await page.getByRole('button', { name: /cache writes for 5 minutes/ }).click();
  await until('it is supposed', async () => /caches written for 5 minutes/.test(await get('totals').innerText()));
  await page.getByRole('button', { name: /instead of claude-opus-5-5/ }).click();
  await until('the other', async () => (await shown(get)) === 'claude-sonnet-5-5');
  assert.equal(await page.getByRole('radio', { name: '5 min' }).isChecked(), false);
  await page.getByRole('radio', { name: 'Last month' }).check();
  await page.getByRole('button', { name: 'Compare' }).waitFor();
});

await check('pages have addresses, and the way back', 'busy', async ({ page, get, open }) => {
  await open();
  await get('today-usd').waitFor();
  await page.getByRole('link', { name: 'What if' }).focus();
  await page.keyboard.press('Enter');
  await get('now-usd').waitFor();
  assert.equal(await page.title(), 'What if · Tollbar');
  await stop(page, 'claude-sonnet-5-5').click();
  await until('a step', async () => (await shown(get)) === 'claude-sonnet-5-5');
  await page.getByRole('link', { name: 'Prices' }).click();
  await get('price-row').first().waitFor();
  await page.goBack();
  await until('the step again', async () => (await shown(get)) === 'claude-sonnet-5-5');
  await page.goBack();
  await get('today-usd').waitFor();
  assert.match(await page.title(), /today · Tollbar/);
  await page.goForward();
  await page.reload();
  await until('after a reload too', async () => (await shown(get)) === 'claude-sonnet-5-5');
});

await check('before the first call it says how to begin', 'empty', async ({ page, get, open }) => {
  await open();
  await page.getByRole('link', { name: 'What if' }).click();
  await get('first-run').waitFor();
  await accessible(page);
});

await check('a span without calls says so', 'busy', async (at) => {
  const { page, get } = at;
  await openPage(at);
  await page.getByRole('radio', { name: 'Last month' }).check();
  await page.getByLabel('Project', { exact: true }).selectOption('tollbar');
  await get('totals').waitFor();
  at.standIn.engine.answers.spend_by = answers('empty').spend_by;
  await page.getByRole('radio', { name: '90 days' }).check();
  await get('no-calls').waitFor();
  assert.match(await get('no-calls').innerText(), /No calls for tollbar in the last 90 days/);
  await accessible(page);
  await picture(page, 'what-if-empty');
});

await check('what could not be asked is said, and the last figures stay, dimmed', 'busy', async (at) => {
  const { page, standIn, get } = at;
  await openPage(at);
  standIn.engine.faults = { reprice: { code: 'refused', message: 'there is no price for the model "claude-x"', hint: 'see `tollbar models` for all that have one' } };
  await page.getByRole('combobox', { name: 'Another model' }).fill('claude-x');
  await page.keyboard.press('Enter');
  await get('failed').waitFor();
  assert.match(await get('failed').innerText(), /there is no price for the model/);
  assert.equal(await page.evaluate(() => document.querySelector('[data-testid=totals]').classList.contains('dim')), true);
  await picture(page, 'what-if-error');
  standIn.engine.faults = {};
  await stop(page, 'claude-sonnet-5-5').click();
  await until('it goes on', async () => (await shown(get)) === 'claude-sonnet-5-5');
  assert.equal(await get('failed').count(), 0);
});

await check('new calls change the figures of the same question', 'busy', async (at) => {
  const { get, standIn } = at;
  await openPage(at, '?to=claude-sonnet-5-5');
  const { reprice } = standIn.engine.answers;
  standIn.engine.answers.reprice = (question) => {
    const answer = reprice(question);
    answer.total.now_usd = usd(1_000_000);
    return answer;
  };
  standIn.changed(7);
  await until('the new figure', async () => (await get('now-usd').textContent()) === '$1.00');
});

for (const [name, width, height, colorScheme] of [
  ['what-if-dark', 1280, 800, 'dark'],
  ['what-if-900', 900, 640, 'light'],
  ['what-if-1600', 1600, 1000, 'light'],
  ['what-if-narrow', 390, 844, 'dark'],
]) {
  await check(`${name} stands within its window`, 'busy', async (at) => {
    const { page } = at;
    await openPage(at, '?to=claude-sonnet-5-5');
    await withinItsWindow(page);
    await accessible(page);
    await picture(page, name);
    if (width >= 1000) return;
    const whole = await page.evaluate(() => document.querySelector('main').scrollHeight + 160);
    await page.setViewportSize({ width, height: whole });
    await page.waitForTimeout(100);
    await picture(page, `${name}-whole`);
  }, { viewport: { width, height }, colorScheme, reducedMotion: 'reduce' });
}

await conclude();
