import { expect, it } from 'vitest';
import { rate } from './rates';

it('writes a rate as price pages do, and never a missing one as free', () => {
  expect(['3', '2.5', '0.25', '0.003625', '12.5', '10000', '0', null].map(rate)).toEqual(['$3', '$2.50', '$0.25', '$0.003625', '$12.50', '$10,000', '$0', '–']);
});
