// Drives the page "Prices", and the explanation of one call, against a stand-in of the engine.

import assert from 'node:assert/strict';
import { accessible, check, conclude, needsTheBuiltPage, picture, until, withinItsWindow } from './harness.mjs';

needsTheBuiltPage();

async function openPage({ page, get, open }) {
  await open();
  await page.getByRole('link', { name: 'Prices' }).click();
  await get('price-row').first().waitFor();
}
const rows = async (get) => (await get('price-row').allInnerTexts()).map((text) => text.replaceAll(/\s+/g, ' '));

await check('prices have a day, a source and the user’s own before them', 'busy', async (at) => {
  const { page, get } = at;
  await openPage(at);
  await get('missing-row').first().waitFor();
  const all = await rows(get);
  assert.match(all[0], /claude-sonnet-5-5 anthropic \$3 \$15 .*from 1 Dec 2026/, 'what is coming stands first');
  assert.match(all[2], /house-model every provider yours \$0\.25 \$1 – – \/ – from 1 Oct 2026 config\.toml/);
  assert.match(all.join('\n'), /claude-sonnet-5-5 anthropic above 200 k \$2 \$10 \$0\.20 \$2\.50 \/ \$4 from 7 Oct 2026 until 1 Dec 2026/);
  assert.match(all.join('\n'), /gpt-6-sol openai yours ×1\.2/);
  assert.match(await get('missing-row').first().innerText(), /qwen3-coder local[^]*it looks like together\/qwen3-coder-480b/);
  await accessible(page);
  await picture(page, 'prices-light');

  await page.getByLabel('Part of a model').fill('OPUS');
  await until('only those', async () => (await rows(get)).length === 4);
  await page.getByLabel('Served as').selectOption('batch');
  await until('by batch', async () => /claude-opus-5-5 anthropic \$2 \$10/.test((await rows(get)).at(-1)));
  await page.getByLabel('Part of a model').fill('nothing like it');
  await page.getByText('No such price is in the book.').waitFor();
});

await check('a first run has prices already, and nothing is missing', 'empty', async (at) => {
  const { page, get } = at;
  await openPage(at);
  assert.equal(await get('missing-row').count(), 0);
  await page.getByText('every counted call has a cost').waitFor();
  await accessible(page);
});

await check('prices that cannot be read say so', 'busy', async ({ page, standIn, get, open }) => {
  standIn.engine.faults = { models: { code: 'storage', message: 'the log cannot be read: disk error', hint: 'run "tollbar doctor"' } };
  await open();
  await page.getByRole('link', { name: 'Prices' }).click();
  await get('failed').waitFor();
  await accessible(page);
  await picture(page, 'prices-error');
});

await check('a call is explained line by line', 'busy', async ({ page, get, open }) => {
  await open();
  await get('call-row').nth(6).getByRole('button').focus();
  await page.keyboard.press('Enter');
  await get('cost-line').first().waitFor();
  assert.deepEqual(await get('cost-line').count(), 4);
  const text = (await get('call-dialog').innerText()).replaceAll(/\s+/g, ' ');
  for (const part of [/claude-opus-5-5/, /input 2,000 \$4 \$0\.008/, /cache read inferred 118,000 \$0\.40 \$0\.0472/, /processed in us × 1\.1/, /claude-opus-latest is another name/, /entry 231,004 · log proxy · reported/]) assert.match(text, part);
  await accessible(page);
  await picture(page, 'call-light');
  await page.keyboard.press('Escape');
  await until('it is closed', async () => (await get('call-dialog').count()) === 0);

  await get('call-row').nth(8).click();
  await get('cost-line').first().waitFor();
  assert.match(await get('call-dialog').innerText(), /no price for qwen3-coder of local/i);
  await page.getByRole('button', { name: 'Close' }).click();
});

await check('a call that is not found says so', 'busy', async ({ page, standIn, get, open }) => {
  standIn.engine.faults = { explain: { code: 'not_found', message: 'there is no call "00"', hint: 'see `tollbar export` for keys and ids' } };
  await open();
  await get('call-row').first().click();
  await get('failed').waitFor();
  await accessible(page);
});

for (const [name, width, height, colorScheme] of [['prices-dark', 1280, 800, 'dark'], ['prices-narrow', 390, 844, 'light']]) {
  await check(`${name} stands within its window`, 'busy', async (at) => {
    await openPage(at);
    await withinItsWindow(at.page);
    await accessible(at.page);
    await picture(at.page, name);
  }, { viewport: { width, height }, colorScheme, reducedMotion: 'reduce' });
}

await conclude();
