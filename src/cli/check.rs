//! `silvacast check`: reports the errors of a configuration, or its memory budget.

use std::path::Path;

use super::{CheckArgs, Exit, invalid_config, load, print};
use crate::config::{Budget, Config, Environment};
use crate::mount::MountRules;

/// Checks a configuration file, or prints it as TOML.
pub(super) fn run(args: &CheckArgs) -> Result<(), Exit> {
    if args.print_toml { print_toml(&args.config) } else { check(&args.config) }
}

fn check(file: &Path) -> Result<(), Exit> {
    let config = load(file, &Environment::of_process())?;
    if !config.unusable.is_empty() {
        return Err(invalid_config(file, &config.unusable));
    }
    for warning in config.ignored.iter().chain(&config.warnings) {
        eprintln!("silvacast: {}: {warning}", file.display());
    }
    let rules = &config.door.rules;
    let (budget, rings, hls) = (Budget::of(&config), rings(rules), hls_windows(rules));
    print(&format!("{}: no errors\n{budget}\n{rings}\n{hls}", file.display()));
    Ok(())
}

/// How much audio the rings hold.
fn rings(rules: &MountRules) -> String {
    let lines = rules.named().map(|(name, settings)| {
        format!(
            "  {name}: {} s at {} kbit/s in {} KiB",
            settings.ring_time().as_secs(),
            settings.ring_bitrate / 1000,
            settings.ring / 1024
        )
    });
    format!("audio in memory, for clips:\n{}", lines.collect::<Vec<_>>().join("\n"))
}

/// What the rings hold of the playlists of HLS.
fn hls_windows(rules: &MountRules) -> String {
    let lines = rules.named().filter(|(_, settings)| settings.hls.is_on).map(|(name, settings)| {
        format!(
            "  {name}: {} s in a ring of {} KiB, up to {} kbit/s",
            settings.hls.window.as_secs_f32(),
            settings.ring / 1024,
            settings.bitrate_for_hls() / 1000
        )
    });
    let lines: Vec<_> = lines.collect();
    if lines.is_empty() {
        "HLS: off".into()
    } else {
        format!("HLS playlists:\n{}", lines.join("\n"))
    }
}

fn print_toml(file: &Path) -> Result<(), Exit> {
    let text = Config::toml(file).map_err(|problems| invalid_config(file, &problems))?;
    print(text.trim_end());
    Ok(())
}
