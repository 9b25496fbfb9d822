// What the figures mean, and what they take for granted, in words.

import type { RepriceRow } from '../api/types';
import { counted } from '../format/counts';
import { replaced, type Scenario } from './scenario';

/** How the one sum stands to the other: `32 % of what it was`, `1.8 times what it was`. A ratio of lengths, not an amount. */
export function ratioWords(then: number, now: number): string {
  if (!(then > 0)) return now > 0 ? 'it cost nothing' : 'nothing to compare';
  const ratio = now / then;
  if (now === then) return 'as much as it was';
  if (ratio >= 1.995) return `${ratio < 9.95 ? ratio.toFixed(1) : ratio.toFixed(0)} times what it was`;
  // 100 would say that they are equal, 0 that it is free.
  const percent = Math.round(ratio * 100);
  if (percent === 100) return ratio < 1 ? 'a little less than it was' : 'a little more than it was';
  if (percent === 0) return now > 0 ? 'less than 1\u00a0% of what it was' : 'it would cost nothing';
  return `${percent}\u00a0% of what it was`;
}

export type Sentence = { text: string; tone: 'near' | 'muted' };

/** What is left out first, then what is supposed. */
export function assumptions(scenario: Scenario, used: string[], total: RepriceRow): Sentence[] {
  const sentences: Sentence[] = [];
  if (total.unpriced_calls > 0) {
    const all = total.unpriced_calls >= total.calls;
    sentences.push({
      text: `${all ? 'None of the calls has' : `${counted(total.unpriced_calls, 'call')} ${total.unpriced_calls === 1 ? 'lacks' : 'lack'}`} a price then or there${all ? ': there is nothing to compare.' : ', and stand in neither sum.'}`,
      tone: 'near',
    });
  }
  const models = replaced(scenario, used);
  if (models.length > 0) {
    sentences.push({ text: `${scenario.to ?? ''} would have read and written as many tokens, and found as much in its cache.`, tone: 'muted' });
  }
  if (scenario.batch) sentences.push({ text: 'Every call could have waited for a batch, which may take a day.', tone: 'muted' });
  if (scenario.shortCache) sentences.push({ text: 'Every cache was read again within five minutes, so that the shorter life lost nothing.', tone: 'muted' });
  if (scenario.prices !== 'call') sentences.push({ text: 'Prices are those of one day, whenever the calls were made.', tone: 'muted' });
  return sentences;
}
