// The address bar, as state.

import { hashOf, type Page, type Route, routeOf } from './route';

class Location {
  route = $state.raw<Route>(routeOf(location.hash));

  /** After the user went somewhere: a link, the back button, a pasted address. */
  readonly read = () => {
    this.route = routeOf(location.hash);
  };

  /** Keeps in the address how a page is set, without a step for the back button. */
  keep(page: Page, params: URLSearchParams) {
    if (this.route.page !== page) return;
    const hash = hashOf(page, params);
    if (hash !== location.hash) history.replaceState(history.state, '', hash);
  }
}

export const here = new Location();
