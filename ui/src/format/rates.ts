// Prices per million tokens, as price pages write them. The text is Rust's; only its look is made here.

import type { Rate, Rates } from '../api/types';

/** `$3`, `$0.25`, `$0.003625`; a class without a price is `–`. */
export const rate = (text: Rate | null | undefined) => (text === null || text === undefined ? '–' : `$${cents(text)}`);

/** `$3 / $15`: uncached input and output. */
export const rates = ({ input, output }: Rates) => `${rate(input)} / ${rate(output)}`;

/** `2.5` as `2.50` and `10000` as `10,000`, as one writes dollars; finer amounts as they are. */
const cents = (text: string) => text.replace(/^(\d+\.\d)$/, '$10').replace(/^\d+/, (whole) => whole.replace(/\B(?=(\d{3})+$)/g, ','));
