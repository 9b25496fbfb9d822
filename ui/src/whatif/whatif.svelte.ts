// The state of the page: what is supposed, and the last answers. Nothing is computed here.

import { coalesced } from '../api/coalesce';
import { type LedgerFault, faultOf } from '../api/fault';
import type { Ledger } from '../api/ledger';
import { newest } from '../api/newest';
import type { Day, Dimension, Filter, RepriceAnswer, RepriceRow } from '../api/types';
import { Asked } from '../figures.svelte';
import { isZero } from '../format/money';
import { rail } from './likely';
import { AS_IT_WAS, daysOf, type Question, questionOf, type Scenario } from './scenario';

/** Calls come in all the time, and each answer reads the whole span again. */
const ASK_AGAIN_MS = 5000;

/** An answer by day, the same calls otherwise cut, and what it is an answer to: it stays on the screen, dimmed, while the next is on its way. */
export type Told = { key: string; scenario: Scenario; used: string[]; answer: RepriceAnswer; byModel: RepriceRow[]; byProject: RepriceRow[] };

type Wish = { key: string; scenario: Scenario; used: string[]; question: Question };

type Looked = { scenario: Scenario; today: Day };

const spanKey = ({ span, project }: Scenario) => `${span} ${project ?? ''}`;
const only = (project: string | null): Filter => ({ project, model: null, provider: null, client: null, device: null });

export class WhatIf {
  scenario = $state.raw<Scenario>(AS_IT_WAS);
  /** The span's calls by model, whatever is supposed of them. */
  readonly models = new Asked<'spend_by'>();
  readonly projects = new Asked<'spend_by'>();
  told = $state.raw<Told | null>(null);
  /** Of the last attempt. */
  fault = $state.raw<LedgerFault | null>(null);
  /** What the answers should be of. */
  key = $state('');
  /** When the last step was answered, by the browser's clock. */
  answeredAt = $state(0);

  /** The models that answered, dearest first. */
  readonly used = $derived((this.models.answer?.rows ?? []).map((row) => row.names[0]).filter((name) => typeof name === 'string'));
  /** Those of them that have a price: others could answer nothing. */
  readonly #priced = $derived(
    (this.models.answer?.rows ?? []).filter((row) => !isZero(row.spend.usd)).map((row) => row.names[0]).filter((name) => typeof name === 'string'),
  );
  /** What models cost today. */
  readonly prices = new Asked<'models'>();
  readonly rail = $derived(rail(this.#priced, this.prices.answer?.rows ?? [], this.scenario.to));
  /** What would have been cheaper, found by Rust, and of which calls. */
  readonly advice = new Asked<'advice'>();
  #advised = $state('');
  readonly ideas = $derived(this.#advised === spanKey(this.scenario) ? (this.advice.answer?.ideas ?? null) : null);

  readonly #ledger: Ledger;
  readonly #step = newest((wish: Wish) => this.#answer(wish));
  // One after the other, so that no answer about other days comes late and stays.
  readonly #looks = newest(async ({ scenario, today }: Looked) => {
    const ask = (by: Dimension, project: string | null) =>
      this.#ledger.ask('spend_by', { by: [by], ...daysOf(scenario.span, today), filter: only(project) });
    await Promise.all([this.models.take(ask('model', scenario.project)), this.projects.take(ask('project', null))]);
  });
  #wish: Wish | null = null;
  #looked: Looked | null = null;
  readonly #again = coalesced(async () => {
    if (this.#looked !== null) this.#looks(this.#looked);
    if (this.#wish !== null) this.#step(this.#wish);
    await Promise.resolve();
  }, ASK_AGAIN_MS);

  constructor(ledger: Ledger) {
    this.#ledger = ledger;
  }

  suppose(change: Partial<Scenario>): void {
    this.scenario = { ...this.scenario, ...change };
  }

  /** What models cost changes seldom; it is asked when somebody comes. */
  async begin(): Promise<void> {
    await this.prices.take(this.#ledger.ask('models', { name: null, provider: null, as_of: null, upcoming: false }));
  }

  /** Asks which models and projects the span has. */
  look(scenario: Scenario, today: Day): void {
    this.#looked = { scenario, today };
    this.#looks(this.#looked);
  }

  /** Asked for by hand: it prices every call of the span many times, and a step on the rail takes longer meanwhile. */
  async compare(scenario: Scenario, today: Day): Promise<void> {
    await this.advice.take(this.#ledger.ask('advice', { ...daysOf(scenario.span, today), filter: only(scenario.project), models: [] }));
    this.#advised = spanKey(scenario);
  }

  /** Asks what it would have cost, unless that is known. */
  step(scenario: Scenario, used: string[], today: Day): void {
    const question = questionOf(scenario, used, today);
    const key = JSON.stringify(question);
    if (key === this.#wish?.key) return;
    this.key = key;
    this.#wish = { key, scenario, used, question };
    this.#step(this.#wish);
  }

  /** The log has changed: asks the same again, soon. */
  readonly again = (): void => {
    this.#again();
  };

  /** One question for the sum, the days and the tables: the calls are read once. */
  async #answer(wish: Wish): Promise<void> {
    try {
      const answer = await this.#ledger.ask('reprice', { ...wish.question, by: ['day'], also_by: [['model'], ['project']] });
      const [byModel = [], byProject = []] = answer.also_rows ?? [];
      this.told = { ...wish, answer, byModel, byProject };
      this.answeredAt = Date.now();
      this.fault = null;
    } catch (reason) {
      this.fault = faultOf(reason);
    }
  }
}
