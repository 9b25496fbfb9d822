// The state of the page: the last answers, asked again whenever the ledger says that it changed. Nothing is computed here.

import { coalesced } from './api/coalesce';
import { type LedgerFault, faultOf } from './api/fault';
import type { Command, Connection, Ledger, QuestionName, Questions } from './api/ledger';
import type { Dimension, ExplainAnswer } from './api/types';
import { dayPlus } from './format/dates';

/** At most four rounds of questions a second, however fast calls come in. */
const ASK_AGAIN_MS = 250;
/** Without any call, time passes still: hours end, days begin, budgets' periods move on. */
const TIME_PASSES_MS = 60_000;
const RECENT_CALLS = 30;
export const CHART_DAYS = 30;

/** The last answer to a question, and the fault of the last attempt if that failed. Both: the answer is old. */
export class Asked<N extends QuestionName> {
  answer = $state.raw<Questions[N]['answer'] | null>(null);
  fault = $state.raw<LedgerFault | null>(null);

  async take(asking: Promise<Questions[N]['answer']>): Promise<void> {
    try {
      this.answer = await asking;
      this.fault = null;
    } catch (reason) {
      this.fault = faultOf(reason);
    }
  }
}

export class Figures {
  readonly today = new Asked<'today'>();
  readonly budgets = new Asked<'budgets'>();
  readonly recent = new Asked<'recent'>();
  readonly health = new Asked<'health'>();
  readonly days = new Asked<'spend_by'>();
  readonly models = new Asked<'spend_by'>();
  readonly daysByModel = new Asked<'spend_by'>();
  connection = $state<'connecting' | Connection>('connecting');
  /** When the last round of questions was answered, by the browser's clock. */
  answeredAt = $state(0);
  /** Grows whenever the log changed, or time passed: what other pages asked is old then. */
  changes = $state(0);
  /** Whether the page of today is looked at; else only what stands around every page is asked for. */
  #whole = true;

  /** Asks again, soon. */
  readonly refresh: () => void;
  readonly #ledger: Ledger;

  constructor(ledger: Ledger) {
    this.#ledger = ledger;
    this.refresh = coalesced(() => this.#askAll(), ASK_AGAIN_MS);
  }

  /** Begins to ask and to watch. Returns what ends both. */
  start(): () => void {
    this.refresh();
    const changed = () => {
      this.changes += 1;
      this.refresh();
    };
    const passing = setInterval(changed, TIME_PASSES_MS);
    const stop = this.#ledger.watch(changed, (state) => {
      const back = state === 'connected' && this.connection === 'lost';
      this.connection = state;
      if (back) changed();
    });
    return () => {
      clearInterval(passing);
      stop();
    };
  }

  /** Whether the page of today is looked at. */
  look(whole: boolean): void {
    const more = whole && !this.#whole;
    this.#whole = whole;
    if (more) this.refresh();
  }

  /** Rejects with a `LedgerFault` that says why the wish was refused. */
  async tell(command: Command): Promise<void> {
    await this.#ledger.tell(command);
    this.refresh();
  }

  /** Rejects with a `LedgerFault` where the call is not known. */
  explain(call: string): Promise<ExplainAnswer> {
    return this.#ledger.ask('explain', { call });
  }

  async #askAll(): Promise<void> {
    const ask = this.#ledger;
    const today = ask.ask('today', {});
    const since = (by: Dimension[]) =>
      today.then(({ day }) =>
        ask.ask('spend_by', {
          by,
          first: dayPlus(day, 1 - CHART_DAYS),
          last: day,
          filter: { project: null, model: null, provider: null, client: null, device: null },
        }),
      );
    const frame = [this.today.take(today), this.health.take(ask.ask('health', {}))];
    const page = () => [
      this.budgets.take(ask.ask('budgets', {})),
      this.recent.take(ask.ask('recent', { limit: RECENT_CALLS })),
      this.days.take(since(['day'])),
      this.models.take(since(['model'])),
      this.daysByModel.take(since(['day', 'model'])),
    ];
    await Promise.all(this.#whole ? [...frame, ...page()] : frame);
    if (this.today.fault === null) this.answeredAt = Date.now();
    if (this.today.fault?.stale === true) this.connection = 'stale';
  }
}
