//! Rates that no set lists and that follow from a provider's rules. Each is named in the row's `inferred`.

use super::exact::scaled;
use events::{Rate, Rates, Row};

/// Cents for a thousand pieces.
const fn cents_per_thousand(cents: i128) -> Rate {
    Rate::from_atto(cents * 10 * 1_000_000_000_000)
}

/// $5 per thousand searches or runs of code (provider-usage 10).
const XAI_TOOL: Rate = cents_per_thousand(500);
/// $10 per thousand web searches (provider-usage 2.8 and 3).
const WEB_SEARCH: Rate = cents_per_thousand(1_000);
/// $2.50 per thousand searches of files (provider-usage 2.8; docs.x.ai for collections).
const FILE_SEARCH: Rate = cents_per_thousand(250);
/// $0.03 for each container (platform.openai.com/docs/pricing, "Built-in tools").
const CONTAINER: Rate = cents_per_thousand(3_000);
/// $14 per thousand queries on Gemini 3 and later, $35 per thousand grounded prompts before (provider-usage 4).
const GROUNDING: [Rate; 2] = [cents_per_thousand(1_400), cents_per_thousand(3_500)];
/// The same by maps: $14 and $25 (ai.google.dev/gemini-api/docs/pricing).
const MAPS: [Rate; 2] = [cents_per_thousand(1_400), cents_per_thousand(2_500)];

/// Words in the names of models that bill sound and pictures in ways of their own.
const MULTIMODAL: [&str; 9] = ["image", "live", "tts", "audio", "realtime", "transcribe", "omni", "embedding", "robotics"];

/// Fills in what the rules say.
pub(super) fn complete(row: &mut Row) {
    let mut inferred = Vec::new();
    // The base decides what is inferred; bands follow it.
    let missing: Vec<&'static str> = row.rates.iter().filter(|(_, rate)| rate.is_none()).map(|(class, _)| class).collect();
    for class in missing {
        if let Some(rate) = rule(row, &row.rates, class) {
            *row.rates.get_mut(class).expect("a class that was just listed") = Some(rate);
            inferred.push(class.to_owned());
        }
    }
    for nth in 0..row.bands.len() {
        for class in &inferred {
            let rate = rule(row, &row.bands[nth].rates, class);
            *row.bands[nth].rates.get_mut(class).expect("a class that was just listed") = rate;
        }
    }
    row.inferred = inferred;
}

/// 1 for models before Gemini 3.
fn old_gemini(row: &Row) -> usize {
    usize::from(["gemini-1", "gemini-2"].iter().any(|old| row.model.starts_with(old)))
}

fn rule(row: &Row, rates: &Rates, class: &str) -> Option<Rate> {
    let provider = row.provider.as_str();
    let claude = provider == "anthropic" || row.model.contains("claude");
    let plain = rates.output.is_some() && !MULTIMODAL.iter().any(|word| row.model.contains(word));
    match class {
        // What is in the prompt costs as the prompt, where no discount is published. Claude's caches stand beside the prompt.
        "cache_read" if !claude && rates.output.is_some() => rates.input,
        // Two times input (provider-usage 3).
        "cache_write_1h" if claude => scaled(rates.cache_write_5m.and(rates.input)?, 2, 1),
        // One rate for thirty minutes, two and a half times input for twelve hours (provider-usage 2.8).
        "cache_write_30m" if provider == "openai" => rates.cache_write_5m,
        "cache_write_12h" if provider == "openai" => scaled(rates.cache_write_5m.and(rates.input)?, 5, 2),
        // Gemini's text models take sound at the price of text, where no other is listed (provider-usage 4).
        "input_audio" | "cache_read_audio" if provider == "google" && plain && !claude => match class {
            "input_audio" => rates.input,
            _ => rates.cache_read,
        },
        // Pictures are tokens of the prompt in all models that do not make pictures.
        "input_image" if ["openai", "google", "xai", "azure"].contains(&provider) && plain && !claude => rates.input,
        // Who sells pictures or speech lists their price as that of the output, where it lists one only.
        "output_image" if row.model.contains("image") && !claude => rates.output,
        "output_audio" if row.model.contains("tts") && !claude => rates.output,
        "web_search" | "x_search" | "code_execution" if provider == "xai" => Some(XAI_TOOL),
        "file_search" if provider == "xai" => Some(FILE_SEARCH),
        "web_search" if (["openai", "azure"].contains(&provider) && plain && !claude) || (provider == "anthropic" && claude) => {
            Some(WEB_SEARCH)
        }
        "file_search" if ["openai", "azure"].contains(&provider) && plain && !claude => Some(FILE_SEARCH),
        "code_execution" if ["openai", "azure"].contains(&provider) && plain && !claude => Some(CONTAINER),
        "web_search" if provider == "google" && row.model.starts_with("gemini-") && rates.output.is_some() => {
            Some(GROUNDING[old_gemini(row)])
        }
        "maps_search" if provider == "google" && row.model.starts_with("gemini-") && rates.output.is_some() => Some(MAPS[old_gemini(row)]),
        _ => None,
    }
}
