import { expect, it } from 'vitest';
import type { ModelPrice } from '../api/types';
import { rowKey, shelf, sourceName } from './shelf';

const price = (provider: string, model: string, more: Partial<ModelPrice> = {}) => ({ provider, model, rates: {}, custom: false, ...more }) as ModelPrice;
const ROWS = [
  price('anthropic', 'claude-opus-5-5', { aliases: ['Claude-Opus-Latest'] }),
  price('anthropic', 'claude-opus-5-5', { tier: 'batch' }),
  price('openai', 'gpt-6-sol'),
  price('', 'house-model', { custom: true }),
];
const names = (wanted: Partial<Parameters<typeof shelf>[1]>) => shelf(ROWS, { name: '', provider: '', tier: 'standard', ...wanted }).map(({ model }) => model);

it('finds by name and alias, in any case of letters', () => {
  expect(names({})).toEqual(['house-model', 'claude-opus-5-5', 'gpt-6-sol']);
  expect(names({ name: ' LATEST ' })).toEqual(['claude-opus-5-5']);
  expect(names({ provider: 'openai' })).toEqual(['gpt-6-sol']);
  expect(names({ tier: 'batch' })).toEqual(['claude-opus-5-5']);
});

it('tells rows apart', () => {
  expect(new Set(ROWS.map(rowKey)).size).toBe(ROWS.length);
});

it('names a source by its house', () => {
  expect(sourceName('https://www.anthropic.com/pricing#api')).toBe('anthropic.com');
  expect(sourceName('config.toml')).toBe('config.toml');
});
