//! `/api/v1/configuration`: what is in force, and what a reload would find, for the administrator.

use serde::Serialize;

use super::response::{HttpResponse, json};
use super::settings::ShownConfig;
use crate::http::Reply;
use crate::platform::{FileCheck, Reloader};

/// The response; the schema `Configuration`.
#[derive(Debug, Serialize)]
struct ConfigurationStatus<'a> {
    in_force: &'a str,
    warnings: &'a [String],
    file: FileStatus,
}

/// The configuration file as it is now.
#[derive(Debug, Serialize)]
struct FileStatus {
    path: Option<String>,
    problems: Vec<String>,
    warnings: Vec<String>,
    needs_restart: Vec<String>,
    is_in_force: bool,
}

/// The configuration in force, and the state of its file.
///
/// # Errors
/// The reply to send, with status 503, if too many reloads are waiting.
pub(super) async fn respond(
    shown: &ShownConfig,
    reloader: &Reloader,
) -> Result<HttpResponse, Reply> {
    let check = reloader.check().await;
    let check = check.map_err(|reason| {
        Reply::new(503, format!("Not checked: {reason}.")).with("Retry-After", "2")
    })?;
    let FileCheck { file, problems, warnings, needs_restart, is_in_force } = check;
    Ok(json(&ConfigurationStatus {
        in_force: &shown.in_force,
        warnings: &shown.warnings,
        file: FileStatus { path: file, problems, warnings, needs_restart, is_in_force },
    }))
}
