import { expect, it } from 'vitest';
import { newest } from './newest';

const settled = () => new Promise((resolve) => setTimeout(resolve, 0));

function slow() {
  const begun: number[] = [];
  const ends: (() => void)[] = [];
  const wish = newest<number>((number) => {
    begun.push(number);
    return new Promise((resolve) => ends.push(resolve));
  });
  const end = async () => {
    ends.shift()?.();
    await settled();
  };
  return { begun, wish, end };
}

it('begins the first wish at once and only the newest of those that came meanwhile', async () => {
  const { begun, wish, end } = slow();
  for (const number of [1, 2, 3, 4]) wish(number);
  expect(begun).toEqual([1]);
  await end();
  expect(begun).toEqual([1, 4]);
  await end();
  expect(begun).toEqual([1, 4]);
});

it('is ready again when it has nothing to do', async () => {
  const { begun, wish, end } = slow();
  wish(1);
  await end();
  wish(2);
  expect(begun).toEqual([1, 2]);
});
