import { expect, it } from 'vitest';
import type { ModelPrice } from '../api/types';
import { rail } from './likely';

const price = (provider: string, model: string, output: string | null, more: Partial<ModelPrice> = {}) =>
  ({ provider, model, rates: { input: '1', output }, source: '', set: '', custom: false, multiplier: null, ...more }) as ModelPrice;

const BOOK = [
  price('anthropic', 'claude-opus-5-5', '20'),
  price('anthropic', 'claude-opus-4-8', '25'),
  price('anthropic', 'claude-sonnet-5-5', '10'),
  price('anthropic', 'claude-sonnet-5-5', '5', { tier: 'batch' }),
  price('anthropic', 'claude-haiku-4-5', '5'),
  price('anthropic', 'claude-v1', '24'),
  price('openai', 'gpt-6-sol', '10'),
  price('openai', 'gpt-6.1-sol', '9'),
  price('openai', 'gpt-5.3-codex-spark', '14'),
  price('openai', 'gpt-realtime-2', '24', { rates: { input: '4', output: '24', output_audio: '64' } as ModelPrice['rates'] }),
  price('bedrock', 'claude-opus-5-5', '22'),
];
const names = (used: string[], more: string | null = null) => rail(used, BOOK, more).map(({ model, used: was }) => (was ? `${model}*` : model));

it('goes from the dearest to the cheapest: what answered, and the newest of each kind', () => {
  expect(names(['claude-sonnet-5-5'])).toEqual(['claude-opus-5-5', 'claude-sonnet-5-5*', 'gpt-6.1-sol', 'claude-haiku-4-5']);
});

it('knows a dated name by its price, and keeps what has none for the end', () => {
  expect(names(['claude-haiku-4-5-20251001', 'qwen3-coder'])).toEqual([
    'claude-opus-5-5',
    'claude-sonnet-5-5',
    'gpt-6.1-sol',
    'claude-haiku-4-5-20251001*',
    'qwen3-coder*',
  ]);
});

it('takes the list of the maker before that of a reseller', () => {
  expect(rail(['claude-opus-5-5'], BOOK, null)[0]?.price?.provider).toBe('anthropic');
});

it('has the model that somebody named', () => {
  expect(names([], 'gpt-5.3-codex-spark')).toContain('gpt-5.3-codex-spark');
});
