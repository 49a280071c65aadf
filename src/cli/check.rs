//! `silvacast check`: reports the errors of a configuration, or its memory budget.

use std::path::Path;

use super::{CheckArgs, Exit, invalid_config, load, print};
use crate::config::{Budget, Config, Environment};

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
    print(&format!("{}: no errors\n{}", file.display(), Budget::of(&config)));
    Ok(())
}

fn print_toml(file: &Path) -> Result<(), Exit> {
    let text = Config::toml(file).map_err(|problems| invalid_config(file, &problems))?;
    print(text.trim_end());
    Ok(())
}
