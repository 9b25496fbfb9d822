// What the figures mean, and what they take for granted, in words.

import type { RepriceRow } from '../api/types';
import { counted } from '../format/counts';

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

/** What stands in neither sum, if anything. */
export function leftOut({ calls, unpriced_calls: unpriced }: RepriceRow): string | null {
  if (unpriced === 0) return null;
  if (unpriced >= calls) return 'None of these calls has a price both then and there: there is nothing to compare.';
  return `${counted(unpriced, 'call')} ${unpriced === 1 ? 'lacks' : 'lack'} a price then or there, and so ${unpriced === 1 ? 'stands' : 'stand'} in neither sum.`;
}
