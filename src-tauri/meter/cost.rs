//! What the provider itself says that a call cost (provider-usage, section 0, rule 9; sections 8, 10, 14).

use super::said::{Said, at, count, dollars};
use events::Usd;
use serde_json::Value;

/// xAI's unit of money: 10^10 ticks are a dollar.
const PICO_PER_TICK: i128 = 100;
/// Copilot's: 10^9 are a credit, which is a cent. Its rates per million tokens are those of the models' makers at that price.
const PICO_PER_NANO_CREDIT: i128 = 10;

/// The cost that the usage names, or what stands beside it, of so many tokens.
///
/// Nothing for something is no price: who brings their own key to OpenRouter pays the provider, and Azure sends zero ticks for Grok.
pub(super) fn reported(said: &Said, tokens: u64) -> Option<Usd> {
    let usage = said.get("usage")?;
    let model = said.text("model").unwrap_or_default();
    let in_units = |value: &Value, path: &str, pico: i128| count(value, &[path]).map(|units| Usd::from_pico(i128::from(units) * pico));
    let ticks = in_units(usage, "cost_in_usd_ticks", PICO_PER_TICK);
    let credits = said.get("copilot_usage").and_then(|usage| in_units(usage, "total_nano_aiu", PICO_PER_NANO_CREDIT));
    let plain = || ["cost", "cost.total_cost", "estimated_cost"].iter().find_map(|path| dollars(usage, path));
    let cost = ticks.or(credits).or_else(plain)?;
    let own_key = at(usage, "is_byok") == Some(&Value::Bool(true));
    let upstream = if own_key { dollars(usage, "cost_details.upstream_inference_cost") } else { None };
    let cost = cost + upstream.unwrap_or(Usd::ZERO);
    (cost > Usd::ZERO || cost == Usd::ZERO && (tokens == 0 || model.ends_with(":free"))).then_some(cost)
}
