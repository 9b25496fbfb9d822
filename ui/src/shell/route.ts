// Which page, and what it was told: `#what-if?span=month&to=claude-sonnet-5-5`. In the fragment, so that the engine serves one file.

export const PAGES = ['today', 'what-if', 'prices'] as const;
export type Page = (typeof PAGES)[number];

export const PAGE_NAMES: Record<Page, string> = { today: 'Today', 'what-if': 'What if', prices: 'Prices' };

export type Route = { page: Page; params: URLSearchParams };

/** What is no page of ours leads to the first. */
export function routeOf(hash: string): Route {
  const [name = '', params = ''] = hash.replace(/^#/, '').split('?', 2);
  const page = PAGES.find((known) => known === name);
  return page === undefined ? { page: 'today', params: new URLSearchParams() } : { page, params: new URLSearchParams(params) };
}

export function hashOf(page: Page, params = new URLSearchParams()): string {
  const text = params.toString();
  return text === '' ? `#${page}` : `#${page}?${text}`;
}
